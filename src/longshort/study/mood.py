"""A study's news on its bars: read from the lake, scored, and placed on the bars that knew it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType

from longshort.base.clock import MINUTE
from longshort.base.errors import StudyError
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.market import find_lake
from longshort.data.news.store import read_news
from longshort.features.sentiment.aggregate import Record, news_gauges
from longshort.features.sentiment.lexicon import VaderScorer, crypto_lexicon
from longshort.features.sentiment.score import Remembered, Scorer

MODEL = "model:"
LEXICONS: Mapping[str, Callable[[], Scorer]] = MappingProxyType(
    {"vader": lambda: VaderScorer(crypto_lexicon())}
)


def with_news(bars: Bars, study: Study) -> Bars:
    """The bars with gauges of what was said in them, where `features.news` names a scorer; as they are without one.

    Whatever bars are handed in, a whole history or the one that has just closed, a bar's gauges are the same: they rest
    on the items that could be used by its close. Scores are remembered in the lake.
    """
    if not study.features.news or not len(bars):
        return bars
    lake = find_lake(study.data.lake, study.folder)
    news = read_news(lake, study.features.news_sources, until=int(bars.closed_at[-1]))
    record = Record.of(news, delay=study.features.news_delay_minutes * MINUTE)
    scorer = Remembered(open_scorer(study), lake) if record.texts else None
    return replace(bars, gauges={**bars.gauges, **news_gauges(record, bars, scorer)})


def open_scorer(study: Study) -> Scorer:
    """The scorer that `features.news` names: `vader`, or `model:` and a folder, seen from the study's."""
    named = study.features.news
    if named.startswith(MODEL):
        from longshort.models.classifier import Classifier

        return Classifier(study.folder / named.removeprefix(MODEL))
    if named not in LEXICONS:
        near = get_close_matches(named, LEXICONS, n=1)
        raise StudyError(
            f"unknown scorer {named!r}.",
            where="features.news",
            remedy=f'Write "vader" or "{MODEL}FOLDER".' + (f" Did you mean {near[0]!r}?" if near else ""),
        )
    return LEXICONS[named]()
