"""Stops, profit targets and holding times: where they lie, and what the policy knows of those that were reached.

The policy asks no account what it holds: it follows its own wishes through the closed bars, with the arithmetic of the
ledger, so that backtest, paper and live decide alike. It does not know how many lots there are, so that its average
entry is the ledger's exactly for a position that was opened at once, and close to it for one that was added to. What
it takes for an exit it follows with a wish for nothing: where it was wrong, the position is closed at the next open.

An order counts as filled at the next open. One that comes later (`latency_ms`), or not at all (a maker's, one that the
account refuses), is entered elsewhere, and its exits are reached at other times: so the exits of the last position
stand until there is another one, and an account that still holds it is not without them. The reverse is not mended: of
a position that the account has left and the policy has not, the policy learns nothing until its wish changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from longshort.base.journal import Event
from longshort.base.trading import PolicySettings
from longshort.data.bars import Bars
from longshort.policy.booking.margin import exit_levels, exit_ticks
from longshort.policy.booking.worth import fill_ticks, price_of, price_ticks
from longshort.policy.contract import STOP, Table, contract_terms, rates
from longshort.policy.rules.catalog import Rule
from longshort.policy.rules.view import PerCoin, View

NAMES = ("held", "entry", "stop", "take", "age", "next", "next_stop", "next_take", "sent", "reached")
TRACK = np.dtype([(name, np.float64) for name in NAMES])  # per coin; `next` is NaN where nothing was wished
NOTHING = (0.0, np.nan, np.nan, np.nan, 0.0, np.nan, np.nan, np.nan, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ExitReached(Event):
    """A stop or a profit target was reached inside a bar, as the policy sees it; `price` is before slippage."""

    kind: ClassVar[str] = "exit-reached"
    closed_at: int
    symbol: str
    which: str
    price: float


def uses_exits(policy: PolicySettings) -> bool:
    """True where a study asks for a stop, a profit target or a longest holding time."""
    return any((_uses_stop(policy), _uses_take(policy), policy.max_holding_bars))


def distances(view: View, policy: PolicySettings) -> tuple[PerCoin, PerCoin]:
    """How far stop and take lie from the entry of a position on `view.side`, as fractions of its price.

    A multiple counts forecast standard deviations over the horizon; a quantile is the forecast's own, so that the stop
    is where it puts that share of outcomes beyond. Of two, the nearer counts. NaN where none is asked for, or can be
    told.
    """
    side = view.side
    stop = _nearer(
        _away(-side, policy.stop_multiple * view.deviation if policy.stop_multiple else None, side),
        _away(-side, _reach(view, -side, policy.stop_quantile), side),
    )
    take = _nearer(
        _away(side, policy.take_multiple * view.deviation if policy.take_multiple else None, side),
        _away(side, _reach(view, side, policy.take_quantile), side),
    )
    return stop, take


class Exits:
    """What the policy holds, where it entered, and where it would leave."""

    def __init__(self, rule: Rule, coins: int) -> None:
        self._policy = rule.policy
        self._slippage = rates(rule.costs).slippage
        self._track = np.array([NOTHING] * coins, dtype=TRACK)
        self._terms: Table | None = None

    @property
    def held(self) -> PerCoin:
        """The exposure wished for when what is held was last traded; 0 after an exit."""
        return self._track["held"].copy()

    @property
    def left(self) -> PerCoin:
        """1 where an exit was reached in the last bar."""
        return self._track["reached"].copy()

    def overdue(self, entering: PerCoin) -> np.ndarray:
        """Where a position has been held as long as it may be, and is not entered anew on its side."""
        track, longest = self._track, self._policy.max_holding_bars
        if not longest:
            return np.zeros(len(track), dtype=np.bool_)
        old = (track["held"] != 0.0) & (track["age"] >= longest)
        renewed = old & (entering == np.sign(track["held"]))
        track["age"][renewed] = 0.0
        return old & ~renewed

    def advance(self, bars: Bars) -> list[ExitReached]:
        """Take in the bar that closed: last wishes fill at its open or lapse, then exits may be reached inside it."""
        if self._terms is None:
            self._terms = contract_terms(bars.instruments)
        found: list[ExitReached] = []
        for asset in range(len(self._track)):
            track, there = self._track[asset], bool(bars.present[0, asset])
            track["reached"] = 0.0
            if not np.isnan(track["next"]) and track["sent"] and there:
                self._fill(asset, float(bars.open[0, asset]))
            track["next"], track["sent"] = np.nan, float(there)
            if track["held"]:
                track["age"] += 1.0
            if track["held"] and there:
                found += self._look(asset, bars)
        return found

    def settle(self, target: PerCoin, view: View) -> tuple[PerCoin, PerCoin, PerCoin]:
        """Targets with their stops and takes, remembered until the next bar.

        A position whose stop was asked for and cannot be told is not opened.
        """
        track, wants = self._track, np.nan_to_num(target)
        opening = (wants != 0.0) & (track["held"] * wants <= 0.0)
        stop, take = distances(view.toward(np.sign(wants), view.cost), self._policy)
        unstopped = opening & np.isnan(stop) & _uses_stop(self._policy)
        target = np.where(unstopped, np.where(track["held"] != 0.0, 0.0, np.nan), target)
        opening &= ~unstopped
        track["next"] = target
        track["next_stop"], track["next_take"] = stop, take
        return target, np.where(opening, stop, track["stop"]), np.where(opening, take, track["take"])

    def state(self) -> dict[str, np.ndarray]:
        """Everything that the next bar needs."""
        return {name: self._track[name].copy() for name in NAMES}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""
        for name in NAMES:
            self._track[name] = state[name]

    def _fill(self, asset: int, opened: float) -> None:
        assert self._terms is not None
        track, terms = self._track[asset], self._terms[asset]
        before, wish = float(track["held"]), float(track["next"])
        if wish == 0.0:
            self._leave(asset)
            return
        ticks = fill_ticks(price_ticks(opened, terms), wish - before, self._slippage, terms)
        price = price_of(ticks, terms)
        if before * wish <= 0.0:
            track["entry"], track["age"] = price, 0.0
            track["stop"], track["take"] = track["next_stop"], track["next_take"]
        elif abs(wish) > abs(before):
            track["entry"] = (abs(before) * track["entry"] + abs(wish - before) * price) / abs(wish)
        track["held"] = wish

    def _look(self, asset: int, bars: Bars) -> list[ExitReached]:
        """Leave where the bar reached an exit."""
        assert self._terms is not None
        track, terms = self._track[asset], self._terms[asset]
        side = float(np.sign(track["held"]))
        stop, take = exit_levels(
            float(track["entry"]), side, float(track["stop"]), float(track["take"]), terms
        )
        opened, high, low = (
            price_ticks(float(getattr(bars, name)[0, asset]), terms) for name in ("open", "high", "low")
        )
        ticks, which = exit_ticks(opened, high, low, side, stop, take, terms)
        if not which:
            return []
        self._leave(asset)
        track["reached"] = 1.0
        word = "stop" if which == STOP else "take"
        return [ExitReached(int(bars.closed_at[0]), bars.symbols[asset], word, price_of(ticks, terms))]

    def _leave(self, asset: int) -> None:
        """Nothing is held; what was sent stays so, and the exits of what was held still stand."""
        track = self._track[asset]
        kept = {name: float(track[name]) for name in ("sent", "stop", "take")}
        self._track[asset] = NOTHING
        for name, value in kept.items():
            track[name] = value


def _uses_stop(policy: PolicySettings) -> bool:
    return policy.stop_multiple > 0.0 or policy.stop_quantile > 0.0


def _uses_take(policy: PolicySettings) -> bool:
    return policy.take_multiple > 0.0 or policy.take_quantile > 0.0


def _reach(view: View, toward: PerCoin, level: float) -> PerCoin | None:
    """How far, as a log return, the forecast's quantile lies up (1) or down (-1); None without one."""
    if level == 0.0:
        return None
    return np.where(toward > 0.0, view.quantile(1.0 - level), -view.quantile(level))


def _away(toward: PerCoin, log_distance: PerCoin | None, side: PerCoin) -> PerCoin:
    """A distance in log returns up or down as a fraction of the price; NaN where there is none that way."""
    if log_distance is None:
        return np.full(len(side), np.nan)
    there = np.isfinite(log_distance) & (log_distance > 0.0) & (side != 0.0)
    return np.where(there, toward * np.expm1(toward * np.where(there, log_distance, 0.0)), np.nan)


def _nearer(one: PerCoin, other: PerCoin) -> PerCoin:
    return np.fmin(one, other)
