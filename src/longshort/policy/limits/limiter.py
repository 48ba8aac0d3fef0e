"""What stands between the wishes of a pilot and the orders: the same object in backtest, paper and live.

At each close `gate` finds the causes for doubt, looks up what follows in `responses.py`, and lets through what is left
of the wishes. Limits of size are judged at the prices of the close: a gap before the fill may pass them, and is trimmed
at the next close. Stops and takes pass unchanged, for they only reduce. Whatever cannot be computed adds nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import nan
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from longshort.base.clock import HOUR, MINUTE
from longshort.base.journal import (
    Event,
    GraceEnded,
    LimitCleared,
    LimitReached,
    OrderCut,
    Rearmed,
    StoodAside,
)
from longshort.base.trading import LimitSettings
from longshort.policy.exposure import Wishes
from longshort.policy.limits.breaches import BY_HAND, Breach, Health, Scene, breaches, latched, trusted
from longshort.policy.limits.caps import gross_capped, never_added, order_capped, rate_capped
from longshort.policy.limits.responses import RESPONSES, Action, Cause
from longshort.policy.limits.state import (
    AccountState,
    LimitState,
    after_deposit,
    after_trips,
    after_valuation,
)

STRICTEST: Mapping[Action, int] = MappingProxyType({action: rank for rank, action in enumerate(Action)})


class Gated(NamedTuple):
    """What is left of the wishes, what the journal is told, and the strictest action on each coin (None: free)."""

    wishes: Wishes
    events: tuple[Event, ...]
    actions: tuple[Action | None, ...]


class Limits:
    """The limits of a study and what they remember; save `state` after each gate and before orders go out.

    >>> limits = Limits(LimitSettings(max_leverage=1.0), LimitState.fresh(("BTC", "ETH")))
    >>> account = AccountState(closed_at=0, equity=1000.0, held=np.zeros(2))
    >>> limits.gate(account, Wishes.of(np.array([0.8, -1.2])), Health.good(2)).wishes.target.round(3).tolist()
    [0.4, -0.6]
    """

    def __init__(self, settings: LimitSettings, state: LimitState) -> None:
        self.settings = settings
        self.state = state

    def gate(self, account: AccountState, wishes: Wishes, health: Health) -> Gated:
        """Let through what the limits allow; call it once per close, also at one without wishes."""
        before = self.state
        scene = _remembered(Scene(self.settings, before, account, health))
        found = breaches(scene)
        scene, changes = _noted(scene, found)
        actions = _actions(scene, found)
        target, state, cuts = _sized(scene, wishes, actions)
        self.state = state
        rearmed = tuple(c for c in BY_HAND if c in before.latched and c not in self.state.latched)
        told: list[Event] = [Rearmed(account.closed_at, health.rearmed_at, rearmed)] if rearmed else []
        told += [
            StoodAside(account.closed_at, state.symbols[asset], "the wish is infinite: held, nothing added")
            for asset in np.flatnonzero(np.isinf(wishes.target))
        ]
        return Gated(wishes._replace(target=target), (*told, *changes, *cuts), actions)


def _remembered(scene: Scene) -> Scene:
    """The scene with what this close adds to memory: day, peak, round trips, latches."""
    settings, account = scene.settings, scene.account
    state = after_trips(after_deposit(scene.state, account), account)
    if Cause.DRAWDOWN in state.latched and state.latched[Cause.DRAWDOWN] < scene.health.rearmed_at:
        state = replace(state, peak=nan)  # whoever re-arms accepts the loss: the peak is counted from here
    if trusted(scene):
        state = after_valuation(state, account)
    if settings.max_losses_in_row and state.losses >= settings.max_losses_in_row:
        until = account.closed_at + round(settings.losses_pause_hours * HOUR)
        state = replace(state, losses=0, paused_until=until)
    standing = latched(scene._replace(state=state))
    return scene._replace(state=state if standing == state.latched else replace(state, latched=standing))


def _noted(scene: Scene, found: Sequence[Breach]) -> tuple[Scene, tuple[Event, ...]]:
    """The scene that knows since when each cause is there, and what has begun, worn on and ended."""
    at, before, state = scene.account.closed_at, scene.state.closed_at, scene.state
    active = {breach.key: state.active.get(breach.key, at) for breach in found}
    told: list[Event] = []
    for breach in found:
        response, since = RESPONSES[breach.cause], active[breach.key]
        if breach.key not in state.active:
            told.append(LimitReached(at, breach.symbol, breach.cause, response.words, breach.detail))
        ends = since + round(scene.settings.grace_minutes * MINUTE)
        if response.then_flatten and ends <= at and (before < ends or breach.key not in state.active):
            told.append(GraceEnded(at, breach.symbol, breach.cause, since))
    for key, since in state.active.items():
        if key not in active:
            cause, _, symbol = key.partition(" ")
            told.append(LimitCleared(at, symbol, cause, since))
    return scene._replace(state=replace(state, active=active)) if told else scene, tuple(told)


def _actions(scene: Scene, found: Sequence[Breach]) -> tuple[Action | None, ...]:
    """The strictest action on each coin, from its own causes and the account's."""
    grace = round(scene.settings.grace_minutes * MINUTE)
    worst: dict[str, Action] = {}
    for breach in found:
        response, since = RESPONSES[breach.cause], scene.state.active[breach.key]
        over = response.then_flatten and scene.account.closed_at - since >= grace
        action = Action.FLATTEN if over else response.action
        worst[breach.symbol] = max(worst.get(breach.symbol, action), action, key=STRICTEST.__getitem__)
    whole = worst.get("")
    each = [[a for a in (whole, worst.get(symbol)) if a is not None] for symbol in scene.state.symbols]
    return tuple(max(those, key=STRICTEST.__getitem__) if those else None for those in each)


class _Cut(NamedTuple):
    """A limit of size, and what it makes of wishes."""

    cause: Cause
    wished: Float64[np.ndarray, " asset"]


def _sized(
    scene: Scene, wishes: Wishes, actions: Sequence[Action | None]
) -> tuple[Float64[np.ndarray, " asset"], LimitState, tuple[Event, ...]]:
    """Targets after actions and limits of size, what to remember of them, and which wishes were cut."""
    state, equity = scene.state, scene.account.equity
    free = np.array([action is None for action in actions])
    held = np.where(np.isnan(scene.account.held), 0.0, scene.account.held)
    target = _wanted(scene, wishes, free)
    wished = target * max(equity, 0.0) if np.isfinite(equity) else target
    first = _acted(wished, held, actions)
    movable = np.array([action is not Action.HOLD for action in actions])
    made = list(_cuts(scene, first, movable))
    last = made[-1].wished if made else first
    told = tuple(
        e for a, b in zip([first, *(c.wished for c in made)], made, strict=False) for e in _told(scene, a, b)
    )
    owed = np.full(len(target), nan)
    for cut in (c for c in made if c.cause is Cause.ORDER_NOTIONAL):
        owed = np.where(free & (_differ(first, cut.wished)), target, nan)
    sent = np.sign(np.where(np.isnan(last), held, last))
    state = replace(
        state,
        closed_at=scene.account.closed_at,
        owed=tuple(owed.tolist()),
        sent=tuple(sent.tolist()),
        ordered=_ordered(scene, last, held),
    )
    kept = ~_differ(last, wished) & (free | (equity > 0.0))
    share = last / equity if equity > 0.0 else np.where(np.isnan(last), nan, 0.0)
    flat = np.array([action is Action.FLATTEN for action in actions])
    return np.where(flat, 0.0, np.where(kept, target, share)), state, told


def _wanted(scene: Scene, wishes: Wishes, free: Bool[np.ndarray, " asset"]) -> Float64[np.ndarray, " asset"]:
    """The targets, where there is none what an order was too small for so far; one that cannot be sized is none.

    What is owed lapses where the position is not on the side that it was sent to: a stop has closed it, or nothing
    was filled.
    """
    sizable = np.isfinite(wishes.target) & np.isfinite(scene.account.equity)
    target = np.where(sizable | (wishes.target == 0.0), wishes.target, nan)
    there = np.sign(scene.account.held) == np.array(scene.state.sent)
    return np.where(np.isnan(target) & free & there, np.array(scene.state.owed), target)


def _acted(
    wished: Float64[np.ndarray, " asset"],
    held: Float64[np.ndarray, " asset"],
    actions: Sequence[Action | None],
) -> Float64[np.ndarray, " asset"]:
    """What the actions leave of wishes, as notionals."""
    left, reduced = wished.copy(), never_added(wished, held)
    for asset, action in enumerate(actions):
        if action is Action.FLATTEN:
            left[asset] = 0.0
        elif action is Action.HOLD:
            left[asset] = nan
        elif action is Action.REDUCE_ONLY:
            left[asset] = reduced[asset]
    return left


def _cuts(
    scene: Scene, wished: Float64[np.ndarray, " asset"], movable: Bool[np.ndarray, " asset"]
) -> Iterator[_Cut]:
    """The limits of size that are switched on, each with what it leaves of what the one before left."""
    settings, held = scene.settings, np.nan_to_num(scene.account.held)
    if not np.isfinite(
        scene.account.equity
    ):  # nothing is added, and only zero can be wished of an unknown equity
        return
    if settings.max_order_notional:
        wished = order_capped(wished, held, settings.max_order_notional)
        yield _Cut(Cause.ORDER_NOTIONAL, wished)
    if settings.max_gross_notional:
        wished = gross_capped(wished, held, movable, settings.max_gross_notional)
        yield _Cut(Cause.GROSS_NOTIONAL, wished)
    if settings.max_leverage:
        most = settings.max_leverage * max(scene.account.equity, 0.0)
        wished = gross_capped(wished, held, movable, most)
        yield _Cut(Cause.LEVERAGE, wished)
    if settings.max_orders_per_minute or settings.max_orders_per_hour:
        wished = rate_capped(wished, held, _orders_left(scene))
        yield _Cut(Cause.ORDER_RATE, wished)


def _orders_left(scene: Scene) -> int:
    at, ordered = scene.account.closed_at, scene.state.ordered
    windows = (
        (MINUTE, scene.settings.max_orders_per_minute),
        (HOUR, scene.settings.max_orders_per_hour),
    )
    left = [most - sum(one > at - window for one in ordered) for window, most in windows if most]
    return max(min(left), 0)


def _ordered(
    scene: Scene, wished: Float64[np.ndarray, " asset"], held: Float64[np.ndarray, " asset"]
) -> tuple[int, ...]:
    """When orders went out in the last hour, these included; a wish that rounds to no lot counts as one."""
    if not (scene.settings.max_orders_per_minute or scene.settings.max_orders_per_hour):
        return ()
    at = scene.account.closed_at
    new = int((~np.isnan(wished) & (wished != held)).sum())
    return (*(one for one in scene.state.ordered if one > at - HOUR), *[at] * new)


def _differ(
    one: Float64[np.ndarray, " asset"], other: Float64[np.ndarray, " asset"]
) -> Bool[np.ndarray, " asset"]:
    return (one != other) & ~(np.isnan(one) & np.isnan(other))


def _told(scene: Scene, wished: Float64[np.ndarray, " asset"], cut: _Cut) -> Iterator[Event]:
    held = np.nan_to_num(scene.account.held)
    for asset in np.flatnonzero(_differ(wished, cut.wished)):
        before, after = (float(held[asset] if np.isnan(w[asset]) else w[asset]) for w in (wished, cut.wished))
        symbol = scene.state.symbols[asset]
        yield OrderCut(scene.account.closed_at, symbol, cut.cause, before, after)
