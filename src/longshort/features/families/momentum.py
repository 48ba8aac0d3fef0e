"""Where the price has been going, and how widely it has been swinging, over windows of several lengths."""

from types import MappingProxyType

import numpy as np

from longshort.features.look import SCALE_ROWS, Compute, Feature


def _span(rows: int) -> Feature:
    return Feature(
        compute=lambda look: look.mean("log_range", rows) - look["log_volatility"],
        family="range",
        inputs=("high", "low", "close"),
        warmup_rows=max(rows, SCALE_ROWS),
        context="recursive",
        summary=f"mean log range of {rows} bars over the volatility",
    )


def _momentum(rows: int) -> Feature:
    return Feature(
        compute=lambda look: look.mean("log_return", rows) * np.sqrt(rows) / look["volatility"],
        family="momentum",
        inputs=("close",),
        warmup_rows=max(rows, SCALE_ROWS),
        context="recursive",
        summary=f"mean log return of {rows} bars, in standard errors",
    )


BASE: MappingProxyType[str, Compute] = MappingProxyType({})

TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        **{f"range_{rows}": _span(rows) for rows in (6, 24, 168, 720)},
        **{f"momentum_{rows}": _momentum(rows) for rows in (6, 24, 168)},
    }
)
