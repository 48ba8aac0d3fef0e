"""Whether forecasts are too good to be true, told by nothing but them and what came.

It knows no model and no code: it compares with what repeating the last value does, and with what honest tests
of liquid assets found. A figure inside the bands proves nothing; one beyond them is called so at p < 1e-4 only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, sqrt

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import special

from longshort.study.audit.record import ALARM, Check, Finding, Outcome
from longshort.study.significance import mean_above_zero

Series = Float64[np.ndarray, " time"]

MOST_POINTS = 0.04  # direction of liquid assets, above the commoner one: 50 to 54 % was published
MOST_SKILL = 0.10  # RMSE or MAPE of the next price below that of the last value
MOST_R2 = 0.01  # of returns, against no change
MOST_CORRELATION = 0.125  # what 54 % of directions mean for two normal variables
MOST_EXACT = 0.5  # the share of forecasts that may hit a price that moved to the last digit
LAGS = 10
NAMES = ("equality", "timing", "direction", "RMSE", "R² of returns", "MAPE", "last value")
SERIES = ("target_at", "came", "move", "last", "actual", "forecast")
FEW = 50  # forecasts, below which nothing is judged
SAME = 1e-9  # relative: equal to the last digit of most files


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One series of forecasts beside what came, oldest first.

    `came` and `move` are returns over the horizon from `last`, the level that was known when the forecast was made:
    what was, and what was forecast. `actual` and `forecast` are the levels themselves; all three are NaN where only
    returns are at hand.
    """

    name: str
    horizon: int
    target_at: Int64[np.ndarray, " time"]
    came: Series
    move: Series
    last: Series
    actual: Series
    forecast: Series

    @property
    def has_levels(self) -> bool:
        """Whether prices were forecast, not returns."""
        return bool(np.isfinite(self.forecast).any())

    def apart(self) -> "Case":
        """Only forecasts whose spans do not overlap: others are not independent."""
        step = slice(None, None, self.horizon)
        return Case(name=self.name, horizon=1, **{name: getattr(self, name)[step] for name in SERIES})


def judge(cases: Sequence[Case], clock: Callable[[], float]) -> list[Finding]:
    """Every check of every case, and of all together where there are several; alarms pay for their number."""
    alarm = ALARM / max(len(cases), 1)
    findings: list[Finding] = []
    for case in cases:
        tested = [
            partial(check, alarm=alarm) for check in (known_early, direction, error, returns_r2, percentage)
        ]
        for name, check in zip(NAMES, (identical, *tested, persistence), strict=True):
            began = clock()
            found = check(case)
            if found:
                findings.append(
                    replace(
                        found, stage=case.name, where=name, looked=len(case.came), seconds=clock() - began
                    )
                )
    if len(cases) > 1:
        began = clock()
        looked = sum(len(case.came) for case in cases)
        found = replace(together(cases), stage=f"all {len(cases)} series", where="direction", looked=looked)
        findings.append(replace(found, seconds=clock() - began))
    return findings


def identical(case: Case) -> Finding | None:
    """Whether the forecast hits what came to the last digit.

    Prices come in ticks, so that a forecast may hit one now and then; most of them it hits only if it has seen them.
    """
    moved = case.came != 0.0
    exact = float(np.mean(_same(case)[moved])) if moved.any() else 0.0
    if exact <= MOST_EXACT:
        return None
    text = f"{exact:.1%} of the forecasts are what came, to the last digit. {_STAMP}"
    return _found("leak", text)


def known_early(case: Case, alarm: float) -> Finding:
    """Whether the forecast moves with the return it forecasts, or the one after, more than with any before.

    That is how a row that is shifted, or a price that was smoothed over the whole series, shows: an honest forecast
    is made of what came before, and follows what comes only weakly. Ranks, so that no single day decides.
    """
    apart = case.apart()
    size = np.array([abs(rank_correlation(*_lagged(apart, k))) for k in range(-1, LAGS + 1)])
    at = int(np.argmax(size[:2])) - 1
    strongest, before = float(size[at + 1]), float(size[2:].max())
    p = correlation_p(strongest, len(apart.came) - LAGS, MOST_CORRELATION) * 2
    when = "it forecasts" if at == 0 else "after the one it forecasts"
    text = f"rank correlation {strongest:.2f} with the return {when}, {before:.2f} with those before it"
    if strongest > before and p < alarm:
        early = f"{text}: it is known only with the close that it claims to forecast. {_STAMP}"
        return _found("implausible", early, p)
    return _found("clean", f"{text}.", p)


def direction(case: Case, alarm: float) -> Finding | None:
    """Whether the direction is right more often than honest tests of liquid assets found."""
    right, came = _directions(case.apart())
    if not len(right):
        return None
    usual = _usual(came)
    p = float(special.bdtrc(right.sum() - 1, len(right), usual + MOST_POINTS))
    share = float(right.mean())
    text = (
        f"direction right in {share:.1%} of {len(right):,}, the commoner one came in {usual:.1%}; "
        f"honest tests of liquid assets found {usual + MOST_POINTS:.1%} at most"
    )
    if p < alarm:
        leaked = f"{text}. Most likely prices were smoothed, scaled or labelled with later ones."
        return _found("implausible", leaked, p)
    return _found("warning" if p < 0.01 else "clean", f"{text}.", p)


def error(case: Case, alarm: float) -> Finding:
    """Whether the error of the next value is far below that of repeating the last one."""
    skill = 1.0 - sqrt(_ratio((case.came - case.move) ** 2, case.came**2))
    p = _beyond((1.0 - MOST_SKILL) ** 2 * case.came**2 - (case.came - case.move) ** 2, case)
    text = f"RMSE {_than(skill)} that of repeating the last value"
    return _banded(text, skill, MOST_SKILL, p, alarm)


def returns_r2(case: Case, alarm: float) -> Finding:
    """Whether more of the returns is explained than honest tests found."""
    r2 = 1.0 - _ratio((case.came - case.move) ** 2, case.came**2)
    p = _beyond((1.0 - MOST_R2) * case.came**2 - (case.came - case.move) ** 2, case)
    text = f"R² of returns, against no change, {100 * r2:+.2f} %"
    return _banded(text, r2, MOST_R2, p, alarm)


def percentage(case: Case, alarm: float) -> Finding | None:
    """Whether the percentage error is far below that of the last value."""
    if not case.has_levels or case.actual.min() <= 0.0:
        return None
    mine = np.abs(case.forecast / case.actual - 1.0)
    naive = np.abs(case.last / case.actual - 1.0)
    skill = 1.0 - _ratio(mine, naive)
    p = _beyond((1.0 - MOST_SKILL) * naive - mine, case)
    text = f"MAPE {100 * mine.mean():.3g} %, {_than(skill)} the {100 * naive.mean():.3g} % of the last value"
    return _banded(text, skill, MOST_SKILL, p, alarm)


def persistence(case: Case) -> Finding:
    """Whether the forecast repeats what has come, and is any better than that.

    R² of levels is high for whatever stays near the last value; so it is shown beside that of the last value.
    """
    skill = 1.0 - sqrt(_ratio((case.came - case.move) ** 2, case.came**2))
    text = f"RMSE {_than(skill)} that of repeating the last value"
    late = 0
    if case.has_levels:
        late = lag_of(case)
        mine, naive = _level_r2(case, case.forecast), _level_r2(case, case.last)
        follows = f"it follows the price {late} rows late" if late else "it runs with the price"
        text = f"{text}; {follows}; R² of levels {mine:.4f}, of the last value {naive:.4f}"
    worthless = skill <= 0.0 or late > 0
    return _found("warning" if worthless else "clean", f"{text}.", check="persistence")


def together(cases: Sequence[Case]) -> Finding:
    """Direction over all series at once: one mean per instant, for series move together."""
    parts = [(*_directions(case), case.target_at[_directed(case)]) for case in cases]
    at, row = np.unique(np.concatenate([part[2] for part in parts]), return_inverse=True)
    excess = np.concatenate([right - _usual(came) - MOST_POINTS for right, came, _ in parts])
    count = np.bincount(row, minlength=len(at))
    gain = np.bincount(row, weights=excess, minlength=len(at)) / np.maximum(count, 1)
    p = _beyond(gain, max(cases, key=lambda case: case.horizon))
    share = float(np.mean(np.concatenate([part[0] for part in parts])))
    text = f"direction right in {share:.1%} of {len(excess):,} at {len(at):,} instants"
    return _banded(text, float(gain.mean()), 0.0, p, ALARM)


def lag_of(case: Case) -> int:
    """How many rows late the changes of a level forecast follow those of the price; 0 where they do not.

    >>> price = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 400)))
    >>> late = Case(name="", horizon=1, target_at=np.arange(398), came=np.diff(np.log(price))[1:],
    ...     move=np.zeros(398), last=price[1:-1], actual=price[2:], forecast=price[1:-1])
    >>> lag_of(late)
    1
    """
    mine, price = np.diff(case.forecast), np.diff(case.actual)
    found = [rank_correlation(mine[k:], price[: len(price) - k]) for k in range(LAGS + 1)]
    best = int(np.argmax(found))
    return best if found[best] > 0.5 else 0


def rank_correlation(left: Series, right: Series) -> float:
    """Spearman's, 0 where one never varies.

    >>> round(rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([3.0, 4.0, 5.0])), 3)
    1.0
    """
    if len(left) < 3 or not (np.ptp(left) > 0.0 and np.ptp(right) > 0.0):
        return 0.0
    ranks = [np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (left, right)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def correlation_p(correlation: float, rows: int, most: float) -> float:
    """The one-sided p of "the true correlation is at most `most`", by Fisher's z.

    >>> correlation_p(0.125, 1_000, 0.125)
    0.5
    """
    apart = np.arctanh(min(correlation, 1.0 - SAME)) - np.arctanh(most)
    return float(special.ndtr(-apart * sqrt(max(rows - 3, 1))))


def _found(outcome: Outcome, detail: str, p: float | None = None, check: Check = "plausibility") -> Finding:
    return Finding(stage="", check=check, outcome=outcome, looked=0, detail=detail, p=p)


def _banded(text: str, value: float, most: float, p: float, alarm: float) -> Finding:
    outcome: Outcome = "clean"
    if value > most:
        outcome = "implausible" if p < alarm else "warning"
    said = f"{text}: beyond what honest tests of liquid assets found." if value > most else f"{text}."
    return _found(outcome, said, p)


def _beyond(gain: Series, case: Case) -> float:
    """The p of "the mean gain is not above zero", for gains that cluster."""
    lags = max(case.horizon, ceil(1.3 * sqrt(len(gain))) - 1)  # Lazarus, Lewis, Stock and Watson (2018)
    return mean_above_zero(gain, lags=lags).p_value


def _lagged(case: Case, lag: int) -> tuple[Series, Series]:
    """What was forecast beside what had come `lag` rows before; -1: what came one row after."""
    if lag < 0:
        return case.move[:lag], case.came[-lag:]
    return case.move[lag:], case.came[: len(case.came) - lag]


def _same(case: Case) -> Bool[np.ndarray, " time"]:
    if case.has_levels:
        return np.abs(case.forecast - case.actual) <= SAME * np.abs(case.actual)
    return np.abs(case.move - case.came) <= SAME * np.abs(case.came)


def _directed(case: Case) -> Bool[np.ndarray, " time"]:
    return (case.came != 0.0) & (case.move != 0.0)


def _directions(case: Case) -> tuple[Bool[np.ndarray, " directed"], Float64[np.ndarray, " directed"]]:
    chosen = _directed(case)
    return np.sign(case.move[chosen]) == np.sign(case.came[chosen]), case.came[chosen]


def _usual(came: Float64[np.ndarray, " directed"]) -> float:
    """The share of the commoner direction."""
    up = float(np.mean(came > 0.0))
    return max(up, 1.0 - up)


def _ratio(mine: Series, naive: Series) -> float:
    return float(mine.mean() / naive.mean()) if naive.mean() > 0.0 else 1.0


def _than(skill: float) -> str:
    return f"{100 * abs(skill):.1f} % {'below' if skill > 0.0 else 'above'}"


def _level_r2(case: Case, levels: Series) -> float:
    return 1.0 - _ratio((case.actual - levels) ** 2, (case.actual - case.actual.mean()) ** 2)


_STAMP = (
    "Either it was made with that close, or its rows are stamped with the instant at which it was made "
    "(then say --stamped made)."
)
