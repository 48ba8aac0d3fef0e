"""What the limits remember between closes: today's loss, the peak, the losses in a row, what has tripped.

One frozen record that goes to JSON and comes back the same, so that no restart forgets a loss. It changes in pure
functions; where an account cannot be valued, what is remembered of it stays.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from longshort.base.clock import DAY
from longshort.base.errors import DataError
from longshort.base.files import write_json

FORMAT = 1
BEFORE = -1  # no close was seen yet


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """An account at a close, in settlement units.

    `held` is the signed notional of each position at its last close, NaN where it cannot be valued. `earned` is what
    each coin has brought in since the account began: realized profit less fees and funding; None where nobody counts
    it. `deposited` came in since the close before, by hand; it is no profit.
    """

    closed_at: int
    equity: float
    held: Float64[np.ndarray, " asset"]
    earned: Float64[np.ndarray, " asset"] | None = None
    deposited: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitState:
    """All that must be kept; instants are those of closes.

    `midnight_equity` is that of the last close at or before the midnight (UTC) that began `day`. `sides` and `bases`
    are each coin's side and what it had earned when it was last flat. `latched` causes last until an instant of their
    own or until a person re-arms, `active` ones as long as they are seen. `owed` is the wish that an order was too
    small for, `sent` the side it led to.
    """

    symbols: tuple[str, ...]
    closed_at: int = BEFORE
    equity: float = nan
    day: int = BEFORE
    midnight_equity: float = nan
    peak: float = nan
    losses: int = 0
    paused_until: int = 0
    sides: tuple[float, ...] = ()
    bases: tuple[float, ...] = ()
    latched: Mapping[str, int] = field(default_factory=dict[str, int])
    active: Mapping[str, int] = field(default_factory=dict[str, int])
    ordered: tuple[int, ...] = ()
    owed: tuple[float, ...] = ()
    sent: tuple[float, ...] = ()

    @classmethod
    def fresh(cls, symbols: tuple[str, ...]) -> "LimitState":
        """Before the first close."""
        zeros, unknown = (0.0,) * len(symbols), (nan,) * len(symbols)
        return cls(symbols=symbols, sides=zeros, bases=unknown, owed=unknown, sent=zeros)

    def save(self, path: Path) -> None:
        """Write the record, whole or not at all; do so before orders go out."""
        write_json(path, {"format": FORMAT} | asdict(self))

    @classmethod
    def load(cls, path: Path, symbols: tuple[str, ...]) -> "LimitState":
        """Read a record; raise `DataError` where it is absent, damaged or of other coins: a loss is never forgotten."""
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            state = cls.read(plain)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                "what the limits remember cannot be read, so today's loss and the peak are not known.",
                where=path,
                remedy="Put back a copy, or begin in a new folder.",
            ) from error
        if state.symbols != symbols:
            raise DataError(
                f"the limits remember {', '.join(state.symbols)}, the study has {', '.join(symbols)}.",
                where=path,
                remedy="Go on with the same coins in the same order, or begin in a new folder.",
            )
        return state

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "LimitState":
        """The record as JSON keeps it, null standing for what is not known; raise `KeyError` or `ValueError`."""
        if plain["format"] != FORMAT:
            raise ValueError(f"format {plain['format']}, expected {FORMAT}")
        state = cls(
            symbols=tuple(str(s) for s in plain["symbols"]),
            closed_at=int(plain["closed_at"]),
            equity=_number(plain["equity"]),
            day=int(plain["day"]),
            midnight_equity=_number(plain["midnight_equity"]),
            peak=_number(plain["peak"]),
            losses=int(plain["losses"]),
            paused_until=int(plain["paused_until"]),
            latched={str(k): int(v) for k, v in plain["latched"].items()},
            active={str(k): int(v) for k, v in plain["active"].items()},
            ordered=tuple(int(at) for at in plain["ordered"]),
            **{name: tuple(_number(n) for n in plain[name]) for name in PER_COIN},
        )
        if any(len(getattr(state, name)) != len(state.symbols) for name in PER_COIN):
            raise ValueError("a number per coin is missing")
        return state


PER_COIN = ("sides", "bases", "owed", "sent")


def after_deposit(state: LimitState, account: AccountState) -> LimitState:
    """The record with money that came in or went out by hand, which is neither a gain nor a loss."""
    moved = account.deposited
    if not moved:
        return state
    return replace(
        state,
        equity=state.equity + moved,
        midnight_equity=state.midnight_equity + moved,
        peak=state.peak + moved,
    )


def after_valuation(state: LimitState, account: AccountState) -> LimitState:
    """The record with the day, the peak and the equity of a close whose equity can be trusted.

    A close at midnight still belongs to the day that ends, and its equity begins the next one.
    """
    day, equity = account.closed_at // DAY, account.equity
    midnight = state.midnight_equity
    if day != state.day:
        spans_midnight = np.isfinite(state.equity) and account.closed_at % DAY != 0
        midnight = state.equity if spans_midnight else equity
    peak = max(state.peak, equity) if np.isfinite(state.peak) else equity
    return replace(state, equity=equity, day=day, midnight_equity=midnight, peak=peak)


def after_trips(state: LimitState, account: AccountState) -> LimitState:
    """The record with the round trips that ended since the close before: losses in a row, begun anew by a gain.

    A trip ends where its coin is flat or has turned. What a turn paid to begin the next trip counts to the one before.
    """
    if account.earned is None:
        return state
    sides = np.where(np.isnan(account.held), state.sides, np.sign(account.held)).tolist()
    losses, bases = state.losses, list(state.bases)
    for asset, (before, now, earned) in enumerate(
        zip(state.sides, sides, account.earned.tolist(), strict=True)
    ):
        if isnan(bases[asset]):
            bases[asset] = earned
        ended = now != before if before else now == 0.0
        if ended:
            result = earned - bases[asset]
            losses = losses + 1 if result < 0.0 else 0 if result > 0.0 else losses
            bases[asset] = earned
    same = losses == state.losses and sides == list(state.sides) and bases == list(state.bases)
    return state if same else replace(state, sides=tuple(sides), bases=tuple(bases), losses=losses)


def _number(value: float | None) -> float:
    return nan if value is None else float(value)
