"""What a series must be to enter the lake; whatever breaks a rule is refused in one sentence.

Refusals name the file, the coin, the row and the instant. Nothing is repaired.
"""

import re
from collections.abc import Iterable

import numpy as np
import polars as pl
from jaxtyping import Int64

from longshort.base.calendar import Calendar
from longshort.base.clock import DAY, SECOND, Interval
from longshort.base.errors import DataError
from longshort.data.files.columns import PRICES
from longshort.data.files.reading import Table
from longshort.data.lake import COLUMNS, Measure

SECOND_INTERVAL_RUN = 8  # so many equal wider steps in a row are another interval, not bars that are missing
MILLISECOND = 1_000_000
ROUNDING = 1.0 + 1e-12  # adjusted prices differ in a float's last digit
CLEAN = "Correct or remove that row."


def refuse_odd_names(table: Table, venue: str) -> None:
    """Refuse names that no file could have."""
    for what, name, pattern in (("symbol", table.symbol, r"[\w.-]+"), ("venue", venue, r"[\w-]*")):
        if not re.fullmatch(pattern, name):
            raise DataError(
                f"{name!r} is no {what}.",
                where=table.path,
                remedy=f"A {what} holds letters, digits, dashes, underscores{', dots' * (what == 'symbol')}.",
            )


def refuse_bad_times(table: Table) -> None:
    """Refuse instants that repeat or go back."""
    instant = _instants(table)
    step = np.diff(instant)
    if (step == 0).any():
        raise _error(table, int(np.argmax(step == 0)) + 1, "repeats the time of the row before")
    if (step < 0).any():
        repeated = len(np.unique(instant)) < len(instant)
        extra = ", and some times repeat" if repeated else ""
        raise _error(
            table,
            int(np.argmax(step < 0)) + 1,
            f"is earlier than the row before{extra}",
            "Sort the file by time.",
        )


def refuse_bad_values(table: Table) -> None:
    """Refuse numbers that no market can have printed."""
    columns = COLUMNS[table.measure][1:]
    for column in columns:
        if not table.rows[column].dtype.is_numeric():
            raise DataError(
                f"column {column} holds {_strange(table.rows[column])}, not a number.", where=table.path
            )
    rows = table.rows.with_columns(pl.col(column).cast(pl.Float64) for column in columns)
    for broken, what in impossible_values(table.measure):
        bad = rows.select(broken).to_series().arg_true()
        if len(bad):
            raise _error(table, int(bad[0]), f"has {what}")


def interval_of(table: Table, wanted: Interval | None) -> Interval:
    """The length of the bars, from their spacing; refuse a file that holds two."""
    step = np.diff(_instants(table))
    if not len(step) and wanted is None:
        raise DataError(
            "one bar does not tell its length.",
            where=_where(table),
            remedy="Add --interval, like --interval 1h.",
        )
    found = wanted or Interval(_most_common(step))
    if found.ns % SECOND:
        raise DataError(
            f"bars are {found.ns / SECOND:g} seconds apart, which is no interval.", where=_where(table)
        )
    other = _other_step(step, found)
    if other is not None:
        position, ns = other
        said = "--interval says" if wanted else "most are"
        raise _error(
            table,
            position + 1,
            f"comes {_length(ns)} after the row before, but {said} {found}: two intervals in one file",
            "Split the file, one interval each." if not wanted else "Drop --interval or correct it.",
        )
    return found


def sampling_of(table: Table, wanted: Interval | None) -> Interval:
    """The time between two samples, from their spacing; a sample may come late, as no bar can."""
    step = np.diff(_instants(table))
    usual = _most_common(step) if len(step) else 0
    if wanted is None and (usual % SECOND or np.sum(step == usual) * 2 <= len(step)):
        raise DataError(
            "samples come at no regular spacing.",
            where=_where(table),
            remedy="Add --interval, like --interval 5m.",
        )
    return wanted or Interval(usual)


def refuse_off_grid(
    table: Table, opened_at: Int64[np.ndarray, " time"], interval: Interval, now: int
) -> None:
    """Refuse bars that do not open on a multiple of their length, and one that has not closed yet."""
    off = opened_at % interval.ns != 0
    if off.any():
        raise _error(
            table,
            int(np.argmax(off)),
            f"is off the grid of {interval} bars",
            "Check --stamped and --interval.",
        )
    if opened_at[-1] + interval.ns > now:
        unfinished = int(np.argmax(opened_at + interval.ns > now))
        raise _error(table, unfinished, "is a bar that has not closed yet", "Remove unfinished bars.")


def refuse_off_sessions(table: Table, calendar: Calendar, interval: Interval | None, now: int) -> Interval:
    """The length of a stock's bars, a day; refuse dates without a session, other lengths, an open session."""
    day = interval or Interval(DAY)
    dates = _instants(table)
    try:
        closed_at = calendar.closes(dates, day)
    except DataError as error:
        raise DataError(error.what, where=_where(table), remedy=error.remedy) from error
    step = np.diff(calendar.rows(closed_at, day))
    if len(step) and _most_common(step) > 1:
        raise DataError(
            f"most rows are {_most_common(step)} sessions apart: these are no daily bars.",
            where=_where(table),
            remedy="Import one row per session.",
        )
    if closed_at[-1] > now:
        unfinished = int(np.argmax(closed_at > now))
        raise _error(table, unfinished, "is a session that has not closed yet", "Remove unfinished bars.")
    return day


def refuse_future(table: Table, now: int) -> None:
    """Refuse settlements and samples of an instant that has not come yet."""
    late = _instants(table) > now
    if late.any():
        raise _error(table, int(np.argmax(late)), "is in the future", "Remove that row, or correct its time.")


def impossible_values(measure: Measure) -> list[tuple[pl.Expr, str]]:
    """What no row of a measure can be: an expression that is true for it, and words that follow "has"."""
    if measure == "funding":
        return _not_numbers(("rate",))
    if measure == "open-interest":
        below = (pl.col("open_interest") < 0.0, "a negative open_interest")
        return [*_not_numbers(("open_interest",)), below]
    return impossible_bars(with_volume=measure == "bars")


def impossible_bars(*, with_volume: bool = True) -> list[tuple[pl.Expr, str]]:
    """What no bar can be; those of marks and indices have no volume."""
    opened, high, low, close = (pl.col(c) for c in PRICES)
    return [
        *_not_numbers((*PRICES, "volume") if with_volume else PRICES),
        *((pl.col(c) <= 0.0, f"a {c} that is not positive") for c in PRICES),
        *([(pl.col("volume") < 0.0, "a negative volume")] if with_volume else []),
        (high < low, "a high below its low"),
        (high * ROUNDING < pl.max_horizontal(opened, close), "a high below its open or close"),
        (low > pl.min_horizontal(opened, close) * ROUNDING, "a low above its open or close"),
    ]


def _not_numbers(columns: Iterable[str]) -> list[tuple[pl.Expr, str]]:
    return [
        rule
        for c in columns
        for rule in (
            (pl.col(c).is_null() | pl.col(c).is_nan(), f"no {c}"),
            (pl.col(c).is_infinite(), f"an infinite {c}"),
        )
    ]


def _other_step(step: Int64[np.ndarray, " step"], interval: Interval) -> tuple[int, int] | None:
    """Where steps tell of a second interval: one that does not fit, or many wider ones in a row."""
    misfit = np.flatnonzero(step % interval.ns)
    if len(misfit):
        return int(misfit[0]), int(step[misfit[0]])
    edges = np.flatnonzero(np.diff(step)) + 1
    for start, end in zip([0, *edges], [*edges, len(step)], strict=True):
        if end - start >= SECOND_INTERVAL_RUN and step[start] != interval.ns:
            return int(start), int(step[start])
    return None


def _most_common(step: Int64[np.ndarray, " step"]) -> int:
    values, counts = np.unique(step, return_counts=True)
    return int(values[np.argmax(counts)])


def _length(ns: int) -> str:
    return str(Interval(ns)) if ns % SECOND == 0 else f"{ns / SECOND:g} s"


def _instants(table: Table) -> Int64[np.ndarray, " time"]:
    return table.rows[table.instant].to_physical().to_numpy() * MILLISECOND


def _strange(values: pl.Series) -> str:
    texts = values.drop_nulls().cast(pl.String).to_list()
    odd = next(
        (t for t in texts if not re.fullmatch(r"\s*[-+]?[\d.]+([eE][-+]?\d+)?\s*", t)), str(values.dtype)
    )
    return repr(odd)


def _where(table: Table) -> str:
    return f"{table.path} ({table.symbol})"


def _error(table: Table, position: int, what: str, remedy: str = CLEAN) -> DataError:
    at = table.rows[position, table.instant]
    row = table.rows[position, "row"]
    return DataError(f"row {row:,} ({at:%Y-%m-%d %H:%M:%SZ}) {what}.", where=_where(table), remedy=remedy)
