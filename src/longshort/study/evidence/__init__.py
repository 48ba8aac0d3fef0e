"""What an evaluation shows beyond its verdict: one topic per module, each told as a `Section`."""

from importlib import import_module

from longshort.study.case import Case
from longshort.study.section import Flag, Section

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
)


def sections_of(case: Case) -> tuple[Section, ...]:
    """Every topic's section, in the order in which a reader would ask."""
    found = []
    for topic in TOPICS:
        try:
            found.append(import_module(f"{__name__}.{topic}").section(case))
        except (ImportError, AttributeError):
            continue
    return tuple(found)


def flags(case: Case) -> tuple[Flag, ...]:
    """What a careful reader would ask about."""
    try:
        from longshort.study.evidence.flags import flags as raised
    except ImportError:
        return ()

    return raised(case)
