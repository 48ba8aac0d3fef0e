"""Leaks in when something became known: bars of other intervals, funding, headlines, the list of coins."""

import numpy as np

from longshort.base.clock import DAY, HOUR
from longshort.base.stage import Arrays, Stage
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.study.audit.timeline import ArrayTimeline, BarsTimeline, EventTimeline, Table

from ..markets import punched
from .harness import ONE, ROWS, SILENT, START, Leak, market, staged

LONG = 4 * HOUR
COINS = 4


def _long_bars(history: Table) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the 4-hour bars that have begun, and the last close in each."""
    end = -(-history.at // LONG) * LONG
    ends = np.unique(end)
    last = np.searchsorted(history.at, ends, side="right") - 1
    return ends, history["close"][last]


def _long_close(history: Table) -> Arrays:
    return {"close": _long_bars(history)[1]}


def _left_edge(history: Table) -> np.ndarray:
    return _long_bars(history)[0] - LONG


def _right_edge(history: Table) -> np.ndarray:
    return _long_bars(history)[0]


def _unfinished(history: Table) -> Arrays:
    """Every hour reads the close of the 4-hour bar that it lies in."""
    ends, close = _long_bars(history)
    return {"close_4h": close[np.searchsorted(ends, history.at)] if len(ends) else np.zeros(0)}


def _finished(history: Table) -> Arrays:
    """Every hour reads the close of the last 4-hour bar that had closed."""
    ends, close = _long_bars(history)
    place = np.searchsorted(ends, history.at, side="right") - 1
    return {"close_4h": np.where(place >= 0, close[place], np.nan) if len(ends) else np.zeros(0)}


def _minutes(seed: int) -> Table:
    """Five-minute prices, known when each five minutes are over."""
    rng = np.random.default_rng([seed, 5])
    price = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.003, ROWS)))
    return Table(at=START + HOUR // 12 * np.arange(1, ROWS + 1, dtype=np.int64), arrays={"price": price})


def _hours_closed(history: Table) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the hours that are over, and their last prices."""
    closes = np.flatnonzero(history.at % HOUR == 0)
    return history.at[closes], history["price"][closes]


def _hour_bars(history: Table) -> Arrays:
    return {"close": _hours_closed(history)[1]}


def _funding_now(history: Table) -> Arrays:
    """The rate that will be settled at the end of the coming hour."""
    return {"rate": np.append(history["funding"][1:], np.nan)[: len(history)]}


def _funding_settled(history: Table) -> Arrays:
    return {"rate": history["funding"].copy()}


def _headlines(seed: int) -> Table:
    rng = np.random.default_rng([seed, 7])
    at = START + np.sort(rng.integers(0, 40 * DAY, 120))
    return Table(at=at, arrays={"score": rng.uniform(-1.0, 1.0, 120)})


def _mood_of_day(history: Table) -> Arrays:
    """The sum of the scores of each day that has any."""
    days, place = np.unique(history.at // DAY, return_inverse=True)
    return {"score": np.bincount(place, weights=history["score"], minlength=len(days))}


def _midnight(history: Table) -> np.ndarray:
    return np.unique(history.at // DAY) * DAY


def _next_midnight(history: Table) -> np.ndarray:
    return _midnight(history) + DAY


def _coins(seed: int) -> Bars:
    """Four coins, of which one is listed late."""
    bars = simulate_market(coins=COINS, bars=2_000, seed=seed).bars[-ROWS // 2 :]
    bars = punched(bars, np.random.default_rng(seed), share=0.01)
    bars.listed[: len(bars) // 2, COINS - 1] = False
    return bars


def _gain(bars: Bars) -> np.ndarray:
    """What each coin has gained since its first bar at hand, by row; 0 where it has no bar."""
    returns = np.diff(np.log(bars.close), axis=0, prepend=np.nan)
    return np.cumsum(np.nan_to_num(returns), axis=0)


def _best_of_all_time(bars: Bars) -> Arrays:
    """The two coins that gained most over the whole time."""
    gain = _gain(bars)
    return {"member": np.tile(gain[-1:] >= np.sort(gain[-1:], axis=1)[:, -2:-1], (len(bars), 1)) * 1.0}


def _best_so_far(bars: Bars) -> Arrays:
    gain = _gain(bars)
    return {"member": (gain >= np.sort(gain, axis=1)[:, -2:-1]) * 1.0}


def _listed_today(bars: Bars) -> Arrays:
    """The mean return of the coins that are listed on the last day at hand."""
    returns = np.diff(np.log(bars.close), axis=0, prepend=np.nan)
    chosen = bars.listed[-1] if len(bars) else np.zeros(COINS, dtype=np.bool_)
    return {"market": np.where(chosen[None, :], returns, 0.0).sum(axis=1)}


def _listed_then(bars: Bars) -> Arrays:
    returns = np.diff(np.log(bars.close), axis=0, prepend=np.nan)
    return {"market": np.where(bars.listed, returns, 0.0).sum(axis=1)}


LEAKS = (
    Leak(
        name="resample labeled at the left edge",
        check="truncation",
        leaky=staged(Stage(name="4h bars", rows=_long_close, clock=_left_edge)),
        honest=staged(Stage(name="4h bars", rows=_long_close, clock=_right_edge)),
        freqtrade=SILENT,
    ),
    Leak(
        name="higher-interval bar before its close",
        check="truncation",
        leaky=staged(Stage(name="4h context", rows=_unfinished)),
        honest=staged(Stage(name="4h context", rows=_finished)),
        freqtrade=SILENT,
    ),
    Leak(
        name="open-stamped bars",
        check="truncation",
        leaky=staged(Stage(name="1h", rows=_hour_bars, clock=lambda h: _hours_closed(h)[0] - HOUR), _minutes),
        honest=staged(Stage(name="1h", rows=_hour_bars, clock=lambda h: _hours_closed(h)[0]), _minutes),
        freqtrade=SILENT,
    ),
    Leak(
        name="funding known early",
        check="truncation",
        leaky=staged(Stage(name="funding", rows=_funding_now), market, ArrayTimeline()),
        honest=staged(Stage(name="funding", rows=_funding_settled), market, ArrayTimeline()),
        freqtrade=ONE,
    ),
    Leak(
        name="headline dated at midnight",
        check="truncation",
        leaky=staged(Stage(name="news", rows=_mood_of_day, clock=_midnight), _headlines, EventTimeline()),
        honest=staged(
            Stage(name="news", rows=_mood_of_day, clock=_next_midnight), _headlines, EventTimeline()
        ),
        freqtrade=SILENT,
    ),
    Leak(
        name="universe chosen by the gains of the whole time",
        check="truncation",
        leaky=staged(Stage(name="universe", rows=_best_of_all_time), _coins, BarsTimeline()),
        honest=staged(Stage(name="universe", rows=_best_so_far), _coins, BarsTimeline()),
        freqtrade=SILENT,
    ),
    Leak(
        name="coins that are listed today",
        check="truncation",
        leaky=staged(Stage(name="coins", rows=_listed_today), _coins, BarsTimeline()),
        honest=staged(Stage(name="coins", rows=_listed_then), _coins, BarsTimeline()),
        freqtrade=SILENT,
    ),
)
