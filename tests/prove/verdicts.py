"""Does the verdict claim an edge where there is none, and find one where there is one?"""

import time
from dataclasses import dataclass

from longshort.base.settings import Study
from longshort.models.opponents.catalog import find_opponents, model_name
from longshort.study.case import Case
from longshort.study.evaluate import case_of
from longshort.study.market import open_market
from longshort.study.report import Word
from longshort.study.walk import walk

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
    """Judge a study as `longshort evaluate` does and keep the words."""
    began = time.perf_counter()
    case = case_made(study)
    return Judged(
        words={(v.question, v.horizon_bars): v.word.value for v in case.verdicts},
        p_values={(c.opponent, c.metric, c.horizon_bars): c.p_value for c in case.comparisons},
        seconds=time.perf_counter() - began,
    )


def case_made(study: Study) -> Case:
    """Walk a study forward and judge it, as an evaluation does, without the evidence beyond the verdict."""
    market = open_market(study)
    opponents = find_opponents(study.validation.opponents)
    walked = walk(market, market.folds(), cache=None, opponents=opponents)
    return case_of(market, walked, model_name(study))
