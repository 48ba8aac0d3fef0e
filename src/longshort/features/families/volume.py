"""How much was traded."""

from types import MappingProxyType

import numpy as np

from longshort.features.history import Grid
from longshort.features.look import Compute, Feature, Look


def _log_volume(look: Look) -> Grid:
    return np.log(np.maximum(look["volume"], 0.0) * look["close"] + 1.0)


def _volume(rows: int) -> Feature:
    return Feature(
        compute=lambda look: look["log_volume"] - look.mean("log_volume", rows),
        family="volume",
        inputs=("volume", "close"),
        warmup_rows=rows,
        summary=f"log turnover over its mean of {rows} bars",
    )


BASE: MappingProxyType[str, Compute] = MappingProxyType({"log_volume": _log_volume})

TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        "volume_change": Feature(
            compute=lambda look: look["log_volume"] - look.lag("log_volume", 1),
            family="volume",
            inputs=("volume", "close"),
            warmup_rows=2,
            summary="log turnover over that of the bar before",
        ),
        **{f"volume_{rows}": _volume(rows) for rows in (24, 168)},
    }
)
