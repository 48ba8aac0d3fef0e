"""Finer bars under those that decide: where orders fill, exits are reached, and funding is settled.

Every decision bar lies on as many finer rows as fit into it. Where a coin has none of them, the decision bar stands in:
its range in the first of its rows, its close in the last. Where it has some, holes stay holes but for what the decision
bar knows of them: its open and its close where the first and the last finer bar are missing, so that a decision has a
price, and in the first hole what its range has beyond that of the others, so that no exit is missed. Where both are
whole and tell different prices, `disagreements` says so; nothing is repaired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float64, Int64

from longshort.base.calendar import AlwaysOpen
from longshort.base.clock import Interval, format_instant
from longshort.base.errors import DataError
from longshort.base.settings import DataSettings
from longshort.data.bars import Bars, Gauge
from longshort.data.certificate.certify import Report, quietly
from longshort.data.certificate.findings import count_of
from longshort.data.lake import Lake
from longshort.data.market import find_lake, load_bars

Mask = Bool[np.ndarray, "time asset"]
Fine = Float64[np.ndarray, "finer asset"]
FineMask = Bool[np.ndarray, "finer asset"]
FineInstants = Int64[np.ndarray, " finer"]
PRICES = ("open", "high", "low", "close")
STANDS_IN: Mapping[Gauge, int] = MappingProxyType(
    {"mark_close": -1, "mark_high": 0, "mark_low": 0}
)  # at which row
HALF_A_TICK = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """One price of one coin that decision bars and their finer bars tell differently: how often, and the worst."""

    symbol: str
    price: str
    bars: int
    compared: int
    worst: float
    worst_at: int

    def __str__(self) -> str:
        return (
            f"{self.symbol}: the {self.price} of {count_of(self.bars, 'decision bar')} of {self.compared:,} differs "
            f"from its finer bars, by {self.worst:.2%} at most ({format_instant(self.worst_at)})."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finer:
    """Finer bars under decision bars; per coin, `stood_in` counts those that had none, `holed` those that had some."""

    bars: Bars
    stood_in: tuple[int, ...]
    holed: tuple[int, ...]
    disagreements: tuple[Disagreement, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of an account on these bars must know."""
        bars, told = self.bars, list[str]()
        for symbol, none, some in zip(bars.symbols, self.stood_in, self.holed, strict=True):
            if none:
                had = count_of(none, "decision bar")
                told.append(f"{symbol}: {had} had no {bars.interval} bars and stood in for them.")
            if some:
                told.append(
                    f"{symbol}: {count_of(some, 'decision bar')} lacked some {bars.interval} bars; opens, closes and "
                    "ranges that these would have told are the decision bars' own."
                )
        return (*told, *(str(one) for one in self.disagreements))


def load_finer(
    settings: DataSettings, folder: Path, interval: Interval, decision: Bars, *, report: Report = quietly
) -> Finer:
    """The lake's bars of an interval, laid under some decision bars of the study's own coins.

    Raises `DataError` where the lake has none of any of these coins in that time, or the market closes: its sessions do
    not split.
    """
    if not isinstance(decision.calendar, AlwaysOpen):
        raise DataError(
            "finer execution bars need a market that is open around the clock.",
            where="trading.execution_interval",
            remedy='Leave it empty: "".',
        )
    lake = Lake(find_lake(settings.lake, folder))
    there = {series.symbol for series in lake.series(decision.venue, f"bars-{interval}")}
    chosen = tuple(symbol for symbol in decision.symbols if symbol in there)
    if not chosen:
        raise DataError(
            f"no {interval} bars of {', '.join(decision.symbols)} in the lake.",
            where="trading.execution_interval",
            remedy=f'Fill it with `longshort fetch ... --interval {interval}`, or leave the setting empty: "".',
        )
    narrowed = {"interval": str(interval), "venue": decision.venue, "symbols": chosen, "spot_venue": ""}
    finer = load_bars(
        settings.model_copy(update=narrowed | {"since": "", "until": ""}), folder, report=report
    )
    laid = laid_under(decision, finer)
    if sum(laid.stood_in) == int(decision.present.sum()):
        raise DataError(
            f"the {interval} bars in the lake are all of another time than the decisions.",
            where="trading.execution_interval",
            remedy=f"There are some from {format_instant(int(finer.opened_at[0]))} to "
            f"{format_instant(int(finer.closed_at[-1]))}: fetch more, or leave the setting empty.",
        )
    return laid


def laid_under(decision: Bars, finer: Bars) -> Finer:
    """Finer bars on the rows of decision bars; raise `DataError` where they do not fit into them."""
    factor, rest = divmod(decision.interval.ns, finer.interval.ns)
    if rest or factor < 2:
        raise DataError(
            f"{finer.interval} bars do not fit into {decision.interval} bars.",
            where="trading.execution_interval",
            remedy="Use one that divides the decision interval.",
        )
    closed_at = _split(decision.closed_at, factor, finer.interval)
    place = _Place(finer, closed_at, [_column(finer, symbol) for symbol in decision.symbols])
    there = place.mask(finer.present)
    some = there.reshape(len(decision), factor, -1).any(axis=1)
    missing, holed = decision.present & ~some, decision.present & some & ~_whole(there, factor)
    columns = {name: place.grid(getattr(finer, name)) for name in (*PRICES, "volume")}
    grids = {name: _prices(name, laid, decision, missing) for name, laid in columns.items()}
    present = there | _at(missing, factor, 0) | _at(missing, factor, -1)
    _patch(grids, present, decision, holed)
    bars = replace(
        decision,
        interval=finer.interval,
        closed_at=closed_at,
        listed=_listed(decision, factor),
        present=present,
        **grids,
        **_funding(decision, finer, place, factor),
        gauges=_gauges(decision, finer, place, missing),
        origins=(*decision.origins, *(o for o in finer.origins if o not in decision.origins)),
        changes=(*decision.changes, *finer.changes),
    )
    return Finer(
        bars=bars,
        stood_in=tuple(int(n) for n in missing.sum(axis=0)),
        holed=tuple(int(n) for n in holed.sum(axis=0)),
        disagreements=disagreements(decision, bars, compared=_whole(there, factor)),
    )


def disagreements(decision: Bars, finer: Bars, *, compared: Mask) -> tuple[Disagreement, ...]:
    """Where the prices of decision bars are not those of their finer bars, by more than half a tick."""
    shape = (len(decision), len(finer) // len(decision), len(decision.symbols))
    told = {
        "open": finer.open.reshape(shape)[:, 0],
        "high": np.fmax.reduce(finer.high.reshape(shape), axis=1),
        "low": np.fmin.reduce(finer.low.reshape(shape), axis=1),
        "close": finer.close.reshape(shape)[:, -1],
    }
    found: list[Disagreement] = []
    for asset, instrument in enumerate(decision.instruments):
        rows = np.flatnonzero(compared[:, asset])
        for name in PRICES:
            ours, theirs = getattr(decision, name)[rows, asset], told[name][rows, asset]
            off = np.abs(ours - theirs)
            differs = np.flatnonzero(off > HALF_A_TICK * float(instrument.tick))
            if len(differs):
                worst = differs[np.argmax(off[differs] / theirs[differs])]
                found.append(
                    Disagreement(
                        symbol=instrument.symbol,
                        price=name,
                        bars=len(differs),
                        compared=len(rows),
                        worst=float(off[worst] / theirs[worst]),
                        worst_at=int(decision.closed_at[rows[worst]]),
                    )
                )
    return tuple(found)


class _Place:
    """Where finer rows lie on a grid of instants and coins that has others too."""

    def __init__(self, finer: Bars, closed_at: FineInstants, columns: Sequence[int]) -> None:
        rows = np.searchsorted(finer.closed_at, closed_at)
        self.known_rows = (rows < len(finer)) & (
            finer.closed_at[np.minimum(rows, len(finer) - 1)] == closed_at
        )
        self._rows = rows[self.known_rows]
        self._ours = [asset for asset, column in enumerate(columns) if column >= 0]
        self._theirs = [column for column in columns if column >= 0]
        self.shape = (len(closed_at), len(columns))

    def grid(self, values: Float64[np.ndarray, "row asset"]) -> Float64[np.ndarray, "finer coin"]:
        """Values of finer bars; NaN elsewhere."""
        laid = np.full(self.shape, np.nan)
        self._lay(laid, values)
        return laid

    def mask(self, values: Bool[np.ndarray, "row asset"]) -> Bool[np.ndarray, "finer coin"]:
        """Marks of finer bars; False elsewhere."""
        laid = np.zeros(self.shape, dtype=np.bool_)
        self._lay(laid, values)
        return laid

    def _lay(self, laid: np.ndarray, values: np.ndarray) -> None:
        known = np.flatnonzero(self.known_rows)[:, None]
        laid[known, self._ours] = values[self._rows[:, None], self._theirs]


def _split(closed_at: Int64[np.ndarray, " time"], factor: int, finer: Interval) -> FineInstants:
    steps = finer.ns * np.arange(1 - factor, 1, dtype=np.int64)
    return (closed_at[:, None] + steps).ravel()


def _column(bars: Bars, symbol: str) -> int:
    return bars.symbols.index(symbol) if symbol in bars.symbols else -1


def _at(values: np.ndarray, factor: int, row: int) -> np.ndarray:
    """Values of decision bars in one of their finer rows; False or NaN in the others."""
    empty = False if values.dtype == np.bool_ else np.nan
    laid = np.full((len(values), factor, values.shape[1]), empty, dtype=values.dtype)
    laid[:, row] = values
    return laid.reshape(-1, values.shape[1])


def _prices(name: str, laid: Fine, decision: Bars, missing: Mask) -> Fine:
    """A column with decision bars standing in: their range first, so that no exit is missed, and their close last."""
    factor = len(laid) // len(decision)
    first, last = getattr(decision, name), 0.0 if name == "volume" else decision.close
    whole = laid.reshape(len(decision), factor, -1)
    whole[:, 0] = np.where(missing, first, whole[:, 0])
    whole[:, -1] = np.where(missing, last, whole[:, -1])
    return laid


def _patch(laid: Mapping[str, Fine], present: FineMask, decision: Bars, holed: Mask) -> None:
    """Write into finer columns, in place, what decision bars know of the holes in them."""
    (row, asset), factor = np.nonzero(holed), len(present) // len(decision)
    inside = {n: c.reshape(len(decision), factor, -1)[row, :, asset] for n, c in laid.items() if n in PRICES}
    hole, last = np.argmin(np.isfinite(inside["close"]), axis=1), factor - 1
    opened, high, low, close = (getattr(decision, name)[row, asset] for name in PRICES)
    before = np.where(hole == 0, opened, inside["close"][np.arange(len(row)), hole - 1])
    after = np.where(hole == last, close, before)
    above, below = high > np.nanmax(inside["high"], axis=1), low < np.nanmin(inside["low"], axis=1)
    top = np.where(above, high, np.fmax(before, after))
    bottom = np.where(below, low, np.fmin(before, after))
    told = above | below | (hole == 0) | (hole == last)
    ends = np.isnan(inside["close"][:, last]) & (hole < last)
    written = ((hole, told, (before, top, bottom, after)), (last, ends, (close, close, close, close)))
    for at, which, prices in written:
        cell = ((row * factor + at)[which], asset[which])
        for name, values in zip(PRICES, prices, strict=True):
            laid[name][cell] = values[which]
        laid["volume"][cell], present[cell] = 0.0, True


def _listed(decision: Bars, factor: int) -> FineMask:
    """What becomes known at a decision bar's close is known in the last of its rows, and not before."""
    before = np.concatenate([decision.listed[:1], decision.listed[:-1]])
    laid = np.repeat(before[:, None], factor, axis=1)
    laid[:, -1] = decision.listed
    return laid.reshape(-1, decision.listed.shape[1])


def _whole(present: FineMask, factor: int) -> Mask:
    return np.logical_and.reduce(present.reshape(-1, factor, present.shape[1]), axis=1)


def _funding(decision: Bars, finer: Bars, place: _Place, factor: int) -> dict[str, np.ndarray]:
    """What was settled: of finer rows where the record was laid on them, of decision bars elsewhere."""
    laid = _whole(place.mask(np.ones_like(finer.present)), factor)
    elsewhere = ~np.repeat(laid, factor, axis=0)
    rate = np.where(elsewhere, _at(decision.funding_rate, factor, -1), place.grid(finer.funding_rate))
    covered = np.repeat(decision.funding_covered, factor, axis=0)
    return {
        "funding_rate": rate,
        "funding_covered": np.where(elsewhere, covered, place.mask(finer.funding_covered)),
    }


def _gauges(decision: Bars, finer: Bars, place: _Place, missing: Mask) -> dict[Gauge, Fine]:
    """Mark prices: what else is measured, books do not read."""
    factor, laid = len(place.known_rows) // len(decision), dict[Gauge, Fine]()
    for name, row in STANDS_IN.items():
        if name in finer.gauges or name in decision.gauges:
            own = _at(np.where(missing, decision.gauge(name), np.nan), factor, row)
            known = place.grid(np.asarray(finer.gauge(name)))
            laid[name] = np.where(np.isnan(known), own, known)
    return laid
