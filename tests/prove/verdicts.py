"""Does the verdict claim an edge where there is none, and find one where there is one?"""

import time
from dataclasses import dataclass

from longshort.base.settings import Study
from longshort.study.evaluate import evaluate
from longshort.study.market import open_market
from longshort.study.report import Word

MONEY_QUESTIONS = ("direction", "profit")  # what nothing can predict in a market without an edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The words of one market by question and horizon; p-values by opponent, metric and horizon, uncorrected."""

    words: dict[tuple[str, int], str]
    p_values: dict[tuple[str, str, int], float]
    seconds: float

    def claims(self, *questions: str) -> bool:
        """True where any of these questions is answered with BEATS."""
        return any(word == Word.BEATS for (question, _), word in self.words.items() if question in questions)


def judged(study: Study) -> Judged:
    """Evaluate a study as `longshort evaluate` does and keep the words."""
    began = time.perf_counter()
    report = evaluate(open_market(study)).report
    return Judged(
        words={(v.question, v.horizon_bars): v.word.value for v in report.verdicts},
        p_values={(c.opponent, c.metric, c.horizon_bars): c.p_value for c in report.comparisons},
        seconds=time.perf_counter() - began,
    )
