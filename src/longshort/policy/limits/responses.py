"""What each cause of doubt or danger does to trading: the one table, with the reason for every line.

It says what follows and how it ends, not when a cause is there: that is `breaches.py`, with the limits of the study.
A cause that is not in the table cannot be named, so nothing trades on by default.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Action(StrEnum):
    """What may still be done, from the mildest to the strictest."""

    CUT = "cut to size"
    REDUCE_ONLY = "reduce only"
    HOLD = "hold"
    FLATTEN = "flatten"


class Cause(StrEnum):
    """Why the wishes of the pilot are not followed as they are."""

    ORDER_NOTIONAL = "order-notional"
    GROSS_NOTIONAL = "gross-notional"
    LEVERAGE = "leverage"
    ORDER_RATE = "order-rate"
    DAILY_LOSS = "daily-loss"
    DRAWDOWN = "drawdown"
    LOSSES_IN_ROW = "losses-in-row"
    STALE_FEED = "stale-feed"
    PRICE_GAP = "price-gap"
    MISSING_FUNDING = "missing-funding"
    OUTSIDE_BAND = "outside-band"
    COVERAGE = "coverage"
    MODEL_EXPIRED = "model-expired"
    NOT_COMPUTABLE = "not-computable"
    KILL_SWITCH = "kill-switch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What follows at once, whether positions are closed after the grace period, how it ends, and why."""

    action: Action
    then_flatten: bool = False
    until: str
    why: str

    @property
    def words(self) -> str:
        """The response as the table of the documentation writes it.

        >>> RESPONSES[Cause.STALE_FEED].words
        'hold, flatten after the grace period'
        """
        if self.action is Action.FLATTEN:
            return "flatten now"
        return f"{self.action}, flatten after the grace period" if self.then_flatten else str(self.action)


RESPONSES: Mapping[Cause, Response] = MappingProxyType(
    {
        Cause.ORDER_NOTIONAL: Response(
            action=Action.CUT,
            until="the wish is reached",
            why="A wish larger than one order may be is approached over several bars; what closes is never held up.",
        ),
        Cause.GROSS_NOTIONAL: Response(
            action=Action.CUT,
            until="there is room again",
            why="Additions shrink together to the room there is; positions that have outgrown it are trimmed.",
        ),
        Cause.LEVERAGE: Response(
            action=Action.CUT,
            until="there is room again",
            why="As for the gross notional, with a limit that falls with the equity: losses must not lever up.",
        ),
        Cause.ORDER_RATE: Response(
            action=Action.CUT,
            until="older orders have left the window",
            why="A program that has run wild adds no more, and what it holds can still be closed.",
        ),
        Cause.DAILY_LOSS: Response(
            action=Action.FLATTEN,
            until="midnight UTC",
            why="Only being flat ends the losses of a day, and with good prices leaving costs a fee and the slippage.",
        ),
        Cause.DRAWDOWN: Response(
            action=Action.FLATTEN,
            until="a person re-arms",
            why="A loss that the strategy was not meant to have says that something is wrong; time does not cure it.",
        ),
        Cause.LOSSES_IN_ROW: Response(
            action=Action.REDUCE_ONLY,
            until="the pause is over",
            why="A streak is weak evidence, so what is open may run to its own exit, but nothing new begins meanwhile.",
        ),
        Cause.STALE_FEED: Response(
            action=Action.HOLD,
            then_flatten=True,
            until="a bar comes",
            why="A market order without a price pays whatever is asked, and most gaps heal; one that lasts is a "
            "position that nobody watches.",
        ),
        Cause.PRICE_GAP: Response(
            action=Action.HOLD,
            then_flatten=True,
            until="the last price is back at its mark",
            why="A price that the mark does not know is a bad print or a broken market: both pass, and neither is to "
            "be traded on.",
        ),
        Cause.MISSING_FUNDING: Response(
            action=Action.REDUCE_ONLY,
            then_flatten=True,
            until="the row comes",
            why="One late row costs less than leaving at market; without it what the position earns is not known, so "
            "it may not grow.",
        ),
        Cause.OUTSIDE_BAND: Response(
            action=Action.REDUCE_ONLY,
            until="the interval is back in its band",
            why="A forecast that has to be stretched so far says little about risk, and so it must not size anything.",
        ),
        Cause.COVERAGE: Response(
            action=Action.REDUCE_ONLY,
            until="the monitor says otherwise",
            why="Intervals that do not hold make every size wrong, while the exits of open positions still stand.",
        ),
        Cause.MODEL_EXPIRED: Response(
            action=Action.REDUCE_ONLY,
            then_flatten=True,
            until="a model in date is in charge",
            why="Nobody vouches for its entries; after the grace period nobody does for its positions either.",
        ),
        Cause.NOT_COMPUTABLE: Response(
            action=Action.REDUCE_ONLY,
            until="it can be computed",
            why="Whatever cannot be computed never adds exposure.",
        ),
        Cause.KILL_SWITCH: Response(
            action=Action.FLATTEN,
            until="a person re-arms",
            why="A person asked for it: the one cause that needs no proof.",
        ),
    }
)
