"""What anyone could do without a forecast: rivals that a policy has to beat on the same rows and costs."""

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64

from longshort.data.bars import Bars
from longshort.features.panel import Panel
from longshort.policy.exposure import Exposure
from longshort.policy.steering import Rule

MOMENTUM_ROWS = 672  # four weeks of hours around the clock; of other bars, as many as four weeks have
HOURS_PER_YEAR = 8_766.0
NEVER_RESIZED = 1e9  # a no-trade band that no change of size leaves
Targets = Float64[np.ndarray, "time asset"]


def buy_and_hold(bars: Bars, panel: Panel, rows: range, rule: Rule) -> Targets:
    """Long every coin at the volatility target of the first row, and never touched again."""
    targets = np.full((len(rows), len(bars.symbols)), np.nan)
    targets[0] = np.nan_to_num(_size(panel, rows, rule)[0], nan=0.0)
    return targets


def targeted_long(_bars: Bars, panel: Panel, rows: range, rule: Rule) -> Targets:
    """Long every coin at the volatility target, resized outside the no-trade band as volatility changes."""
    return _banded(_size(panel, rows, rule), rule.policy.no_trade_band)


def momentum(bars: Bars, panel: Panel, rows: range, rule: Rule) -> Targets:
    """The sign of the last four weeks, at the volatility target, resized outside the no-trade band."""
    return _banded(_sign(bars, rows, rule) * _size(panel, rows, rule), rule.policy.no_trade_band)


def momentum_sized_once(bars: Bars, panel: Panel, rows: range, rule: Rule) -> Targets:
    """The sign of the last four weeks, sized where it turns and never touched until it turns again."""
    return _banded(_sign(bars, rows, rule) * _size(panel, rows, rule), NEVER_RESIZED)


RIVALS: MappingProxyType[str, Callable[[Bars, Panel, range, Rule], Targets]] = MappingProxyType(
    {
        "buy and hold": buy_and_hold,
        "volatility-targeted long": targeted_long,
        "momentum": momentum,
        "momentum sized once": momentum_sized_once,
    }
)


def rival_exposure(name: str, bars: Bars, panel: Panel, rows: range, rule: Rule) -> Exposure:
    """The wishes of one rival on some rows."""
    targets = RIVALS[name](bars, panel, rows, rule)
    return Exposure(closed_at=bars.closed_at[rows.start : rows.stop], symbols=bars.symbols, target=targets)


def _sign(bars: Bars, rows: range, rule: Rule) -> Targets:
    back = max(1, round(MOMENTUM_ROWS * rule.bars_per_year / HOURS_PER_YEAR))
    log_close = np.log(bars.close)
    before = np.full_like(log_close, np.nan)
    before[back:] = log_close[:-back]
    return np.sign(log_close - before)[rows.start : rows.stop]


def _size(panel: Panel, rows: range, rule: Rule) -> Targets:
    per_year = panel.volatility[rows.start : rows.stop] * np.sqrt(rule.bars_per_year)
    share = rule.policy.volatility_target / len(panel.symbols)
    return np.minimum(share / per_year, rule.policy.max_exposure)


def _banded(wish: Targets, band: float) -> Targets:
    """What is wished anew: another sign, or another size by more than `band` of it."""
    sign, least, known = np.sign(wish), band * np.abs(wish), np.isfinite(wish)
    held, held_sign = np.zeros(wish.shape[1]), np.zeros(wish.shape[1])
    moves = np.zeros(wish.shape, dtype=np.bool_)
    for t in range(len(wish)):
        moves[t] = known[t] & ((sign[t] != held_sign) | (np.abs(wish[t] - held) > least[t]))
        if moves[t].any():
            held, held_sign = np.where(moves[t], wish[t], held), np.where(moves[t], sign[t], held_sign)
    return np.where(moves, wish, np.nan)
