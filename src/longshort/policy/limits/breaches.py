"""Which causes of `responses.py` are there at a close, from the account, its health and what is remembered.

Pure: nothing is changed and nothing asked. A limit that is switched on and cannot be judged is a cause of its own.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import nan
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from longshort.base.clock import DAY
from longshort.base.trading import LimitSettings
from longshort.models.calibration.coverage_monitor import Coverage
from longshort.policy.limits.responses import Cause
from longshort.policy.limits.state import BEFORE, AccountState, LimitState

BY_HAND = (Cause.KILL_SWITCH, Cause.DRAWDOWN)  # latched until a person re-arms


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How far what the decision rests on can be trusted at a close.

    `stale_bars`: how many bars of each coin are missing up to now. `price_gap`: its last close over its mark price,
    less 1. `band_multiple`: how many times as far as the model says the calibrated interval has to reach. NaN is
    unknown, as is a `coverage` of None. `model_expires_at` of None: the model has no expiry. `doubt` says what else
    is wrong: a clock, an account that does not add up, a full disk. `killed` is the reason that stands in the switch.
    """

    stale_bars: Float64[np.ndarray, " asset"]
    price_gap: Float64[np.ndarray, " asset"]
    funding_known: Bool[np.ndarray, " asset"]
    band_multiple: float = nan
    coverage: Coverage | None = None
    model_expires_at: int | None = None
    doubt: str = ""
    killed: str = ""
    rearmed_at: int = BEFORE

    @classmethod
    def good(cls, coins: int) -> "Health":
        """All is well, and all of it is known.

        >>> Health.good(2).stale_bars.tolist()
        [0.0, 0.0]
        """
        zeros = np.zeros(coins)
        return cls(
            stale_bars=zeros,
            price_gap=zeros,
            funding_known=np.ones(coins, dtype=np.bool_),
            band_multiple=1.0,
            coverage=Coverage.AS_IT_SHOULD_BE,
        )


class Breach(NamedTuple):
    """A cause that is there, for one coin or (no symbol) for the whole account."""

    cause: Cause
    symbol: str
    detail: str

    @property
    def key(self) -> str:
        """How the record of the limits names it."""
        return f"{self.cause} {self.symbol}".strip()


class Scene(NamedTuple):
    """All that a cause is found from."""

    settings: LimitSettings
    state: LimitState
    account: AccountState
    health: Health


def off_mark(scene: Scene) -> Bool[np.ndarray, " asset"]:
    """The coins whose last price lies too far from its mark."""
    return np.abs(scene.health.price_gap) > (scene.settings.max_price_gap or np.inf)


def trusted(scene: Scene) -> bool:
    """True where the equity can be judged: a bad print of a coin that is held must not close the whole book."""
    known = np.isfinite([scene.account.equity, *scene.account.held]).all()
    return bool(known) and not bool((off_mark(scene) & (scene.account.held != 0.0)).any())


def latched(scene: Scene) -> Mapping[str, int]:
    """The causes that outlast what set them off, with the close since which they stand."""
    state, settings, at = scene.state, scene.settings, scene.account.closed_at
    kept = {
        cause: since
        for cause, since in state.latched.items()
        if (cause in BY_HAND and since >= scene.health.rearmed_at)
        or (cause == Cause.DAILY_LOSS and since // DAY == at // DAY)
    }
    if scene.health.killed:
        kept.setdefault(Cause.KILL_SWITCH, at)
    if trusted(scene) and _lost(state.midnight_equity, scene.account.equity, settings.max_daily_loss):
        kept.setdefault(Cause.DAILY_LOSS, at)
    if trusted(scene) and _lost(state.peak, scene.account.equity, settings.max_drawdown):
        kept.setdefault(Cause.DRAWDOWN, at)
    return kept


def breaches(scene: Scene) -> tuple[Breach, ...]:
    """Every cause that is there, each once per coin."""
    found: dict[str, Breach] = {}
    for check in CHECKS:
        for breach in check(scene):
            known = found.get(breach.key)
            detail = f"{known.detail}; {breach.detail}" if known else breach.detail
            found[breach.key] = breach._replace(detail=detail)
    return tuple(found.values())


def _lost(before: float, equity: float, limit: float) -> bool:
    return bool(limit > 0.0 and before - equity >= limit * before)


def _standing(scene: Scene) -> Iterator[Breach]:
    state, equity = scene.state, scene.account.equity
    told = {
        Cause.DAILY_LOSS: f"equity {equity:,.2f}, at midnight UTC {state.midnight_equity:,.2f}",
        Cause.DRAWDOWN: f"equity {equity:,.2f}, at its peak {state.peak:,.2f}",
        Cause.KILL_SWITCH: scene.health.killed or "pulled, and not re-armed",
    }
    for name in state.latched:
        yield Breach(Cause(name), "", told[Cause(name)])


def _paused(scene: Scene) -> Iterator[Breach]:
    if scene.account.closed_at < scene.state.paused_until:
        yield Breach(
            Cause.LOSSES_IN_ROW, "", f"{scene.settings.max_losses_in_row} losing round trips in a row"
        )


def _model(scene: Scene) -> Iterator[Breach]:
    health, most = scene.health, scene.settings.max_band_multiple
    multiple = health.band_multiple
    if health.model_expires_at is not None and scene.account.closed_at >= health.model_expires_at:
        yield Breach(Cause.MODEL_EXPIRED, "", "the model in charge is past its date")
    if most and not np.isnan(multiple) and (multiple > most or multiple * most < 1.0):
        yield Breach(
            Cause.OUTSIDE_BAND, "", f"intervals are stretched {multiple:.2f} times, at most {most:g}"
        )
    stop = scene.settings.coverage_stop
    if stop and health.coverage in STOPS[stop]:
        yield Breach(Cause.COVERAGE, "", f"coverage is {health.coverage}")


def _coins(scene: Scene) -> Iterator[Breach]:
    settings, health, symbols = scene.settings, scene.health, scene.state.symbols
    late = health.stale_bars > (settings.max_stale_bars or np.inf)
    for asset in np.flatnonzero(late):
        yield Breach(Cause.STALE_FEED, symbols[asset], f"{health.stale_bars[asset]:g} bars are missing")
    for asset in np.flatnonzero(off_mark(scene)):
        detail = f"the last price is {health.price_gap[asset]:+.2%} off its mark"
        yield Breach(Cause.PRICE_GAP, symbols[asset], detail)
    for asset in np.flatnonzero(~health.funding_known) if settings.require_funding else ():
        yield Breach(Cause.MISSING_FUNDING, symbols[asset], "a funding row is missing")


def _unknown(scene: Scene) -> Iterator[Breach]:
    settings, account, health = scene.settings, scene.account, scene.health
    whole = {
        "the equity": not bool(np.isfinite(account.equity)),
        "the equity, while the price of a held coin is off its mark": bool(
            (off_mark(scene) & (account.held != 0.0)).any()
        ),
        "the result of round trips": settings.max_losses_in_row > 0 and account.earned is None,
        "how far intervals have to be stretched": settings.max_band_multiple > 0.0
        and bool(np.isnan(health.band_multiple)),
        "the coverage of intervals": settings.coverage_stop != "" and health.coverage is None,
        health.doubt: health.doubt != "",
    }
    yield from (Breach(Cause.NOT_COMPUTABLE, "", what) for what, missing in whole.items() if missing)
    symbols = scene.state.symbols
    for asset in np.flatnonzero(np.isnan(account.held)):
        yield Breach(Cause.NOT_COMPUTABLE, "", f"what the position in {symbols[asset]} is worth")
    for asset in np.flatnonzero(np.isnan(health.price_gap)) if settings.max_price_gap else ():
        yield Breach(Cause.NOT_COMPUTABLE, symbols[asset], "how far the last price is off its mark")
    for asset in np.flatnonzero(np.isnan(health.stale_bars)) if settings.max_stale_bars else ():
        yield Breach(Cause.NOT_COMPUTABLE, symbols[asset], "the age of the last bar")


CHECKS: tuple[Callable[[Scene], Iterator[Breach]], ...] = (_standing, _paused, _model, _coins, _unknown)
STOPS: Mapping[str, frozenset[Coverage]] = MappingProxyType(
    {"drifting": frozenset({Coverage.DRIFTING, Coverage.BROKEN}), "broken": frozenset({Coverage.BROKEN})}
)
