"""What every feature owes its reader, ours or the user's, tried out on markets made for it.

    repeatable       the same bars give the same numbers
    values           one float64 per close and coin, never infinite
    causality        what is said of a row does not change when later rows are cut off or replaced by noise
    streaming        a bar at a time gives the bits of a whole history
    warm-up          on complete bars it stands from exactly the stated row on, and after a gap again
    context          a feature of a window does not depend on where the history at hand began
    units            prices in another unit give the same number, where the feature says so

Every bar of a stretch that holds gaps, midnights and a restart of windows is streamed, and so seen without any later
one. The embedded market supplies every record, so that no feature is excused; a study's bars may be added, and all of
them are streamed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from longshort.base.errors import LongshortError
from longshort.data.bars import Bars
from longshort.features.catalog import BASE, FEATURES
from longshort.features.history import Grid, History
from longshort.features.look import Feature, Look
from longshort.features.proving import DENSE, cuts, dense_from, in_other_units, markets, noise_from, recorded
from longshort.features.windowed import RESTART_ROWS

ROWS = 1_400  # of the markets to try on, and more for a feature with a long warm-up
RECOVERY_ROWS = 48  # that a feature may need beyond its warm-up after a gap: two days to close a day again
TOLERANCE = 1e-5  # of a value in another unit, relative to one and its size
HALFLIFE_ROWS = 24.0
LATER_START = 137  # rows that a history is shortened by at its beginning
ROWS_NEEDED = {"row": 1, "window": 1, "restarted": RESTART_ROWS}  # by context, beside twice the warm-up


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A contract that a feature breaks: in one sentence, with the row where it was seen and by how much."""

    feature: str
    contract: str
    text: str
    row: int | None = None
    size: float | None = None

    def __str__(self) -> str:
        return f"{self.feature} {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """A feature, and what its columns are computed from."""

    name: str
    feature: Feature
    catalog: Mapping[str, Feature]

    def values(self, bars: Bars, history: History | None = None) -> np.ndarray:
        history = history or _history(bars)
        base = {**{name: f.compute for name, f in self.catalog.items()}, **BASE}
        look = Look(bars, history, HALFLIFE_ROWS, base)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return self.feature.compute(look)

    def problem(self, contract: str, text: str, row: int | None = None, size: float | None = None) -> Problem:
        return Problem(feature=self.name, contract=contract, text=text, row=row, size=size)


def problems(
    name: str, feature: Feature, *, catalog: Mapping[str, Feature] = FEATURES, bars: Bars | None = None
) -> list[Problem]:
    """The contracts that a feature breaks; none where it keeps them all.

    `catalog` holds what it may read beside base columns; `bars` (a study's) are tried beside the embedded market.

    >>> problems("return_1", FEATURES["return_1"])
    []
    """
    trial = _Trial(name=name, feature=feature, catalog=catalog)
    rows = max(ROWS, feature.warmup_rows + 4 * RESTART_ROWS // 3)
    complete, holey = markets(rows)
    try:
        values = trial.values(complete)
        broken = list(_values(trial, complete, values))
        if broken:
            return broken
        first = dense_from(holey)
        broken += _time(trial, holey, range(first, first + DENSE))
        if bars is not None and len(bars):
            broken += _time(trial, bars[-rows:], range(1, min(rows, len(bars))))
        if broken:
            return broken
        broken += [*_warm_up(trial, values), *_recovery(trial, holey)]
        return [*broken, *_context(trial, complete, values), *_units(trial, complete, values)]
    except LongshortError as error:
        return [trial.problem("values", f"cannot be computed: {error}")]


def _values(trial: _Trial, bars: Bars, values: np.ndarray) -> Iterator[Problem]:
    """Shape, type, size, and the same again: without these nothing else is worth asking."""
    if values.dtype != np.float64 or values.shape != bars.close.shape:
        text = f"gives {values.dtype} of shape {values.shape}, not float64 of shape {bars.close.shape}."
        yield trial.problem("values", text)
        return
    infinite = _first(np.isinf(values))
    if infinite is not None:
        yield trial.problem("values", f"is infinite at row {infinite}.", infinite, float("inf"))
    row = _first(_differs(values, trial.values(bars)))
    if row is not None:
        text = f"is random: computed twice from the same bars, it differs at row {row}."
        yield trial.problem("repeatable", text, row)


def _time(trial: _Trial, bars: Bars, dense: range) -> list[Problem]:
    """Cut off, replaced and streamed: the first leak found is told, and a stream is only asked of the honest."""
    whole = trial.values(bars)
    infinite = _first(np.isinf(whole))
    if infinite is not None:
        return [trial.problem("values", f"is infinite at row {infinite} of a market with gaps.", infinite)]
    rng = np.random.default_rng(0)
    for cut in cuts(bars):
        for what, other in (("cut off", bars[:cut]), ("replaced by noise", noise_from(bars, cut, rng))):
            found = _changed(trial, whole, trial.values(other)[:cut], f"when rows from {cut} on are {what}")
            if found:
                return [found]
    return _streamed(trial, bars, whole, dense)


def _changed(trial: _Trial, whole: Grid, past: np.ndarray, when: str) -> Problem | None:
    row = _first(_differs(whole[: len(past)], past))
    if row is None:
        return None
    size = _size(whole, past, row)
    text = f"reads later bars: its value at row {row} changes{_apart(whole, past, row)} {when}."
    return trial.problem("causality", text, row, size)


def _streamed(trial: _Trial, bars: Bars, whole: Grid, dense: range) -> list[Problem]:
    history = _history(bars)
    parts = [trial.values(bars[: dense.start], history)]
    parts += [trial.values(bars[t : t + 1], history) for t in dense]
    streamed = np.concatenate(parts)
    row = _first(_differs(whole[: len(streamed)], streamed))
    if row is None:
        return []
    leak = _changed(trial, whole, trial.values(bars[: row + 1]), f"when rows from {row + 1} on are cut off")
    text = f"gives another value bar by bar at row {row}{_apart(whole, streamed, row)}: it keeps no state."
    return [leak or trial.problem("streaming", text, row, _size(whole, streamed, row))]


def _warm_up(trial: _Trial, values: Grid) -> Iterator[Problem]:
    standing = np.flatnonzero(np.isfinite(values).all(axis=1))
    if not len(standing):
        yield trial.problem("warm-up", f"never stands in {len(values)} complete rows.")
        return
    first, stated = int(standing[0]) + 1, trial.feature.warmup_rows
    if first != stated:
        text = f"first stands at row {first} of complete bars (counted from 1), but states a warm-up of {stated}."
        yield trial.problem("warm-up", text, first - 1, float(first - stated))
    missing = _first(~np.isfinite(values[first:]))
    if missing is not None:
        row = missing + first
        yield trial.problem(
            "warm-up", f"is missing again at row {row} of complete bars, after its warm-up.", row
        )


def _context(trial: _Trial, bars: Bars, values: Grid) -> Iterator[Problem]:
    """A feature of a window says the same of a row wherever the history at hand began before that window.

    So does one of restarted windows, once it has the rows that it is sure to see.
    """
    if trial.feature.context not in ROWS_NEEDED:
        return
    settled = LATER_START + max(ROWS_NEEDED[trial.feature.context], 2 * trial.feature.warmup_rows)
    other = np.concatenate([values[:LATER_START], trial.values(bars[LATER_START:])])
    far = np.abs(other - values) > TOLERANCE * (1.0 + np.abs(values))
    row = _first(far[settled:])
    if row is not None:
        row += settled
        text = (
            f"looks further back than it may: its value at row {row} changes{_apart(values, other, row)} when the "
            f"history begins {LATER_START} rows later, {settled - LATER_START} rows or more before."
        )
        yield trial.problem("context", text, row, _size(values, other, row))


def _recovery(trial: _Trial, holey: Bars) -> Iterator[Problem]:
    """Long enough after a gap the feature must be there again, or one absent bar would silence it for good."""
    absent = np.flatnonzero(~recorded(holey).all(axis=1))
    rows = trial.feature.warmup_rows + RECOVERY_ROWS
    last = int(absent[-1]) + 1 if len(absent) else 0
    silent = _first(~np.isfinite(trial.values(holey)[last + rows :]))
    if silent is not None:
        row = silent + last + rows
        text = f"is still missing at row {row}, {row - last} complete rows after a gap."
        yield trial.problem("warm-up", text, row, float(row - last))


def _units(trial: _Trial, bars: Bars, values: Grid) -> Iterator[Problem]:
    if not trial.feature.unitless:
        return
    other = trial.values(in_other_units(bars))
    far = ~(np.abs(other - values) <= TOLERANCE * (1.0 + np.abs(values))) & np.isfinite(values)
    row = _first(far)
    if row is not None:
        text = f"is not unitless: with prices in another unit it changes at row {row}{_apart(values, other, row)}."
        yield trial.problem("units", text, row, _size(values, other, row))


def _history(bars: Bars) -> History:
    return History(len(bars.symbols), int(bars.grid_row[0]))


def _differs(mine: Grid, theirs: Grid) -> Bool[np.ndarray, "time asset"]:
    """Where two answers differ as a panel holds them: in 32 bits, missing equal to missing."""
    a, b = mine.astype(np.float32), theirs.astype(np.float32)
    return ~((a == b) | (np.isnan(a) & np.isnan(b)))


def _first(wrong: np.ndarray) -> int | None:
    rows = np.flatnonzero(wrong.any(axis=1))
    return int(rows[0]) if len(rows) else None


def _size(mine: Grid, theirs: np.ndarray, row: int) -> float:
    asset = int(_differs(mine[row : row + 1], theirs[row : row + 1])[0].argmax())
    return float(abs(mine[row, asset] - theirs[row, asset]))


def _apart(mine: Grid, theirs: np.ndarray, row: int) -> str:
    asset = int(_differs(mine[row : row + 1], theirs[row : row + 1])[0].argmax())
    return f" from {_shown(mine[row, asset])} to {_shown(theirs[row, asset])}"


def _shown(value: float) -> str:
    return "missing" if np.isnan(value) else f"{value:.6g}"
