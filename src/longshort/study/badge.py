"""What the latest evaluation of a study found about one horizon, in a word: what stands beside every forecast of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from longshort.base.settings import Study
from longshort.study.lineage import runs_of

NEVER = "NEVER JUDGED"
FIRST = "profit"  # the question that a trade asks
KIND = "evaluate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """The word on profit, or `NEVER JUDGED`; and the words on the other questions at the same horizon.

    `is_current` is False where the evaluation was of other settings than the study's today.
    """

    word: str
    horizon_bars: int
    words: Mapping[str, str]
    judged_at: int | None = None
    is_current: bool = True


def badge_of(study: Study, horizon_bars: int) -> Badge:
    """The badge of a study at a horizon; raise `DataError` where a run's record is damaged."""
    judged = [run for run in runs_of(study.folder) if run.kind == KIND and run.words]
    if not judged:
        return Badge(word=NEVER, horizon_bars=horizon_bars, words={})
    same = [run for run in judged if run.hashes.get("study") == study.digest()]
    latest = (same or judged)[-1]
    words = {
        question: word
        for question, bars, word in ((*name.rsplit(" ", 1), word) for name, word in latest.words.items())
        if int(bars) == horizon_bars
    }
    return Badge(
        word=words.get(FIRST, NEVER),
        horizon_bars=horizon_bars,
        words=words,
        judged_at=latest.written_at,
        is_current=bool(same),
    )
