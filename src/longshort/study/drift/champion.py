"""Who is in charge: a challenger takes over only by a test that was fixed before its trial began.

The test is a bet. Champion and challenger forecast the same rows in shadow, and the evidence is the sum over rows of
the mean over coins of `log density of the challenger - log density of the champion - margin`. As long as the
champion's law is right, the capital of this bet exceeds 1 / p at any time with a probability of at most p, however
often one looks and however coins depend on each other (see `page`): a trial may therefore stop at the first row with
enough evidence. The house test with its long-run variance would need a fixed end and several times the rows.

Challenger number k of one champion may spend `level * 6 / (pi k)^2`: however many there are, all of them together
displace a right champion with a probability of at most `level`.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import log, pi

import numpy as np


class Outcome(StrEnum):
    """How a trial stands."""

    RUNNING = "running"
    PROMOTED = "promoted"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRules:
    """The promotion test: so many scored rows, a gain above so many nats a row, at this level per champion.

    The fewest rows are two days of hourly bars: a model that is better in one part of the day is not yet better.
    """

    rows: int = 240
    least_rows: int = 48
    margin_nats: float = 0.002
    level: float = 0.05

    def evidence_needed(self, number: int) -> float:
        """The log evidence that the champion's `number`-th challenger needs.

        >>> [round(TrialRules().evidence_needed(k), 1) for k in (1, 2, 10, 100)]
        [3.5, 4.9, 8.1, 12.7]
        """
        return log(number**2 * pi**2 / 6.0 / self.level)


class Trial:
    """One challenger's trial; ended once it is promoted or dismissed.

    >>> trial = Trial(TrialRules(rows=3, least_rows=1, margin_nats=0.0), number=1)
    >>> [trial.step(gain).value for gain in (1.0, 1.0, 2.0)]
    ['running', 'running', 'promoted']
    """

    def __init__(self, rules: TrialRules, number: int) -> None:
        self.rules = rules
        self.needed = rules.evidence_needed(number)
        self.evidence = 0.0
        self.rows = 0

    @property
    def mean_gain_nats(self) -> float:
        """How much better the challenger was per scored row, the margin not subtracted."""
        return self.evidence / self.rows + self.rules.margin_nats if self.rows else 0.0

    def step(self, gain_nats: float) -> Outcome:
        """Take in one row's gain over the champion; NaN rows are not scored and do not count."""
        if not np.isnan(gain_nats):
            self.rows += 1
            self.evidence += gain_nats - self.rules.margin_nats
        if self.evidence >= self.needed and self.rows >= self.rules.least_rows:
            return Outcome.PROMOTED
        return Outcome.DISMISSED if self.rows >= self.rules.rows else Outcome.RUNNING
