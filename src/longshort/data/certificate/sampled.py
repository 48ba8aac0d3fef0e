"""What can be wrong with series of events and samples: funding settlements and open interest."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from longshort.base.clock import DAY, MINUTE
from longshort.base.window import Window
from longshort.data.certificate.findings import Findings, Instants, count_of, runs_of
from longshort.data.certificate.timeline import Gap, make_gaps
from longshort.data.funding import count_missing, funding_holes

ABSURD_RATE = 0.05  # per settlement; venues cap at 2 to 3 %
PERCENT_RATE = 0.005  # the median of a coin is a few 0.01 %: rates this large as a rule are in percent
PERCENT_ROWS = 30


def judge_funding(
    rows: pl.DataFrame, instant: Instants, asked: Sequence[Window], findings: Findings
) -> list[Gap]:
    """Holes at the cadence of each time, and rates that no venue charges."""
    holes = funding_holes(instant)
    gaps = make_gaps(holes[:, 0] - MINUTE, holes[:, 1] + MINUTE, count_missing(instant), asked)
    missing = sum(g.missing for g in gaps)
    if missing:
        words = f"{count_of(missing, 'settlement')} missing in {count_of(len(gaps), 'hole')}"
        findings.add("funding holes", words, count=missing, places=holes[:, 0])
    rate = rows["rate"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    bad = np.flatnonzero(~np.isfinite(rate))
    if len(bad):
        words = f"{count_of(len(bad), 'rate')} that are no numbers"
        findings.add("impossible", words, count=len(bad), places=instant[bad])
        return gaps
    if len(rate) >= PERCENT_ROWS and np.median(np.abs(rate)) > PERCENT_RATE:
        findings.add("percent", "rates look like percent, not fractions", count=len(rate))
        return gaps
    absurd = np.flatnonzero(np.abs(rate) > ABSURD_RATE)
    if len(absurd):
        words = f"{count_of(len(absurd), 'rate')} beyond {100 * ABSURD_RATE:g} % per settlement"
        findings.add("absurd rates", words, count=len(absurd), places=instant[absurd])
    return gaps


def judge_open_interest(rows: pl.DataFrame, instant: Instants, findings: Findings) -> None:
    """Values that are none, zeros, and figures that stand still for a day."""
    value = rows["open_interest"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    bad = np.flatnonzero(~(value >= 0.0) | np.isinf(value))
    if len(bad):
        words = f"{count_of(len(bad), 'value')} below zero or no number"
        findings.add("impossible", words, count=len(bad), places=instant[bad])
        return
    zero = np.flatnonzero(value == 0.0)
    if len(zero):
        words = (
            "the very first value is 0" if zero.tolist() == [0] else f"{count_of(len(zero), 'value')} of 0"
        )
        findings.add("zeros", words, count=len(zero), places=instant[zero])
    still = np.concatenate([[False], (value[1:] == value[:-1]) & (value[1:] > 0.0)])
    runs = runs_of(still)
    long = runs[instant[runs[:, 1] - 1] - instant[np.maximum(runs[:, 0] - 1, 0)] >= DAY]
    if len(long):
        days = float((instant[long[:, 1] - 1] - instant[long[:, 0] - 1]).max()) / DAY
        words = f"does not move for up to {days:.1f} days"
        findings.add("stood still", words, count=len(long), places=instant[long[:, 0]])
