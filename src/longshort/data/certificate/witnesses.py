"""What other records of the same coin say about its trade prices: the mark price, and bars of other lengths.

A move that another record confirms at the same close is no error of one file.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from longshort.base.errors import DataError
from longshort.data.certificate.findings import Findings, count_of
from longshort.data.certificate.outliers import ALIKE, TO_STD, Odd
from longshort.data.files.rules import MILLISECOND
from longshort.data.lake import INSTANT, Lake, Series

MARK_SCALES = 12.0  # robust scales of their usual difference
MARK_SHARE = 0.01  # and of the price at least
MARK_ROWS = 30


def supported(lake: Lake, series: Series, found: Sequence[Odd]) -> list[Odd]:
    """Leave out closes and levels that a mark price or bars of another length had at the same instant."""
    interval = series.interval
    if not found or interval is None:
        return list(found)
    closed_at = np.array([odd.at + interval.ns for odd in found], dtype=np.int64)
    confirmed = np.zeros(len(found), dtype=bool)
    for witness in _witnesses(lake, series):
        said = dict(_closes(lake, witness, closed_at).iter_rows())
        for n, odd in enumerate(found):
            price = said.get(int(closed_at[n]))
            if price and odd.kind not in ("wick", "open"):
                confirmed[n] |= abs(float(np.log(price / odd.close))) < ALIKE * abs(odd.move)
    return [odd for odd, is_confirmed in zip(found, confirmed, strict=True) if not is_confirmed]


def judge_mark(lake: Lake, series: Series, findings: Findings) -> None:
    """Closes that differ from the mark price by far more than they do as a rule."""
    assert series.interval
    for witness in _witnesses(lake, series):
        if witness.measure != "mark":
            continue
        mark = _closes(lake, witness, None)
        trade = _closes(lake, series, mark["closed_at"].to_numpy())
        both = trade.join(mark, on="closed_at", suffix="_mark").sort("closed_at")
        if len(both) < MARK_ROWS:
            continue
        apart = np.log(both["close"].to_numpy() / both["close_mark"].to_numpy())
        apart = np.abs(apart - np.median(apart))
        limit = max(MARK_SHARE, MARK_SCALES * TO_STD * float(np.median(apart)))
        off = np.flatnonzero(apart > limit)
        if len(off):
            places = both["closed_at"].to_numpy()[off] - series.interval.ns
            words = f"{count_of(len(off), 'close')} off the mark price ({witness.kind}) by over {100 * limit:.1f} %"
            findings.add("off the mark", words, count=len(off), places=places)


def _witnesses(lake: Lake, series: Series) -> list[Series]:
    return [
        other
        for other in lake.series(series.venue)
        if other.symbol == series.symbol and other != series and other.measure in ("bars", "mark")
    ]


def _closes(lake: Lake, series: Series, closed_at: np.ndarray | None) -> pl.DataFrame:
    """Closing instants (int64 ns) and closes of a series, at some instants or at all; none if it cannot be read."""
    empty = pl.DataFrame(schema={"closed_at": pl.Int64, "close": pl.Float64})
    assert series.interval
    length = series.interval.ns
    try:
        rows = pl.scan_parquet(lake.path(series)).select("opened_at", "close")
        if closed_at is not None:
            opened = pl.Series((closed_at - length) // MILLISECOND).cast(pl.Int64).cast(INSTANT)
            rows = rows.filter(pl.col("opened_at").is_in(opened.implode()))
        found = rows.filter(pl.col("close") > 0.0).collect()
    except (PolarsError, DataError, OSError):
        return empty
    return found.select(
        (pl.col("opened_at").to_physical() * MILLISECOND + length).alias("closed_at"), "close"
    )
