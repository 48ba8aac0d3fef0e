"""What the other coins do: the market as the mean over the coins that are there, and its leader."""

from types import MappingProxyType

import numpy as np

from longshort.features.history import Grid, across
from longshort.features.look import Compute, Feature, Look


def _leader(name: str) -> Compute:
    """Bitcoin's column for every coin (the first coin's, where Bitcoin is not among them).

    Where the leader has no bar, the mean over the coins that have one stands in.
    """

    def compute(look: Look) -> Grid:
        symbols = look.bars.symbols
        lead = next((a for a, symbol in enumerate(symbols) if symbol.startswith(("BTC", "XBT"))), 0)
        leading = np.repeat(look[name][:, lead : lead + 1], len(symbols), axis=1)
        return np.where(np.isfinite(leading), leading, across(look[name]))

    return compute


def _market(compute: Compute, inputs: tuple[str, ...], summary: str, warmup_rows: int = 25) -> Feature:
    return Feature(
        compute=compute,
        family="market",
        inputs=inputs,
        warmup_rows=warmup_rows,
        context="recursive",
        summary=summary,
    )


BASE: MappingProxyType[str, Compute] = MappingProxyType(
    {"market_range": lambda look: across(look["relative_range"])}
)

TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        "market_range_1": _market(
            lambda look: look["market_range"], ("high", "low", "close"), "mean over coins of range_1"
        ),
        "market_range_24": _market(
            lambda look: look.mean("market_range", 24),
            ("high", "low", "close"),
            "mean over coins and 24 bars of range_1",
            warmup_rows=44,
        ),
        "market_return_1": _market(
            lambda look: across(look["scaled_return"]), ("close",), "mean over coins of return_1"
        ),
        "leader_range_1": _market(
            _leader("relative_range"), ("high", "low", "close"), "range_1 of Bitcoin or the first coin"
        ),
        "leader_return_1": _market(
            _leader("scaled_return"), ("close",), "return_1 of Bitcoin or the first coin"
        ),
    }
)
