"""What an evaluation shows beyond its verdict: one topic per module, each told as a `Section`."""

from importlib import import_module

from longshort.study.case import Case
from longshort.study.section import Section

TOPICS = (
    "rivals",
    "coverage",
    "direction",
    "volatility",
    "ranking",
    "point",
    "risk",
    "trading",
    "tries",
    "failures",
    "seeds",
    "learning",
    "drift",
)


def sections_of(case: Case) -> tuple[Section, ...]:
    """Every topic's section, in the order in which a reader would ask."""
    known = ("oracle",) if case.market.study.data.source == "embedded" else ()
    return tuple(import_module(f"{__name__}.{topic}").section(case) for topic in (*known, *TOPICS))
