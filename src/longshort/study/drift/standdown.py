"""When a model may not add exposure: its intervals no longer hold, a simple rival forecasts better, or it is too old.

Both breaks are Page tests, so that a law that is right is stopped once in `false_alarm_every` outcomes at most. A
model that stands aside goes on forecasting in shadow, and comes back only when what broke has held again for
`resume_rows` outcomes.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from longshort.study.drift.page import Page, PerCoin, mean_known, miss_bet, misses

MANY = 2.0  # times the stated rate of misses: what the coverage test suspects


@dataclass(frozen=True, slots=True, kw_only=True)
class StandDownRules:
    """How rare a false alarm is, in outcomes, and what must hold again over how many outcomes to come back.

    Over the last `resume_rows` outcomes coverage must be at least nominal minus `slack`, and the champion not worse
    than the reference.
    """

    coverage: float = 0.9
    false_alarm_every: float = 20_000.0
    resume_rows: int = 168
    slack: float = 0.03


class StandDown:
    """Watches one champion; a new one starts with a clean sheet."""

    def __init__(self, rules: StandDownRules) -> None:
        self.rules = rules
        self.reason = ""
        self._coverage, self._skill = Page(rules.false_alarm_every), Page(rules.false_alarm_every)
        self._recent: deque[tuple[float, float]] = deque(maxlen=rules.resume_rows)

    def step(self, row: int, pit: PerCoin, gain_nats: float) -> str:
        """Take in what became known at a row; why exposure may not be added, or "" where it may.

        `gain_nats` is the champion's log density minus the reference's, averaged over coins.
        """
        missed = misses(pit, coverage=self.rules.coverage)
        rate = mean_known(missed)
        if np.isnan(rate):
            return self.reason
        self._recent.append((rate, gain_nats))
        suspected = MANY * (1.0 - self.rules.coverage)
        bet = miss_bet(missed, coverage=self.rules.coverage, suspected=suspected)
        broken = {
            "coverage": self._coverage.step(row, bet),
            "skill": self._skill.step(row, -gain_nats),
        }
        if self.reason and self._holds_again():
            self.reason = ""
            self._coverage, self._skill = (Page(self.rules.false_alarm_every) for _ in range(2))
        elif not self.reason:
            self.reason = next((what for what, fires in broken.items() if fires), "")
            if self.reason:
                self._recent.clear()
        return self.reason

    def _holds_again(self) -> bool:
        if len(self._recent) < self.rules.resume_rows:
            return False
        rates, gains = zip(*self._recent, strict=True)
        covered = 1.0 - float(np.mean(rates))
        return covered >= self.rules.coverage - self.rules.slack and mean_known(np.asarray(gains)) >= 0.0


def never_added(wished: PerCoin, held: PerCoin) -> PerCoin:
    """What a wish becomes while standing aside: a position may shrink, never grow, turn, or begin.

    A wish of NaN leaves the position alone, as everywhere.

    >>> never_added(np.array([0.5, 0.1, -0.3, 0.2]), np.array([0.2, 0.2, 0.2, 0.0])).tolist()
    [0.2, 0.1, 0.0, 0.0]
    """
    same_side = np.sign(wished) == np.sign(held)
    smaller = np.where(same_side, np.sign(held) * np.minimum(np.abs(wished), np.abs(held)), 0.0)
    return np.where(np.isnan(wished), np.nan, smaller)
