"""Planted leaks, one bar small, each beside its honest twin: what an audit must catch, and what it must leave alone."""

from longshort.study.audit.record import Pipeline

from .evaluation import LEAKS as EVALUATION
from .harness import Leak, honest_pipeline
from .records import LEAKS as RECORDS
from .series import LEAKS as SERIES

LEAKS: tuple[Leak, ...] = (*SERIES, *RECORDS, *EVALUATION)


def honest(seed: int) -> list[Pipeline]:
    """Every honest twin over histories of a seed, one pipeline per kind of history."""
    return honest_pipeline(LEAKS, seed)
