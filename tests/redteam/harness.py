"""What a planted leak is, and the small markets that they are planted in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from longshort.base.clock import HOUR
from longshort.base.stage import Stage, Timeline
from longshort.study.audit.record import Audit, Check, Outcome, Pipeline
from longshort.study.audit.run import audit
from longshort.study.audit.timeline import ArrayTimeline, Table

ROWS = 240
START = 400_000 * HOUR + 5 * HOUR
Build = Callable[[int], Pipeline]

SEES = "no: named among its examples"
SELDOM = "where no checked trade falls on such a candle [1]"
ONE = "one candle: its authors say so [2], though its indicator columns may show it [3]"
BEYOND = "compares columns, entries and exits [4]; this is none of them"
TARGETS = "targets: tells users to ignore them [5]"
SILENT = "not described"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A leak, the check that must catch it, what it looks like, and the same thing done honestly."""

    name: str
    check: Check
    leaky: Build
    honest: Build
    freqtrade: str
    outcome: Outcome = "leak"
    thorough: bool = False


def look(pipeline: Pipeline, *, thorough: bool = False, seconds: float = 20.0, seed: int = 0) -> Audit:
    """Audit a small pipeline."""
    return audit(pipeline, seconds=seconds, thorough=thorough, seed=seed)


def market(seed: int, rows: int = ROWS // 2, *, gaps: int = 3) -> Table:
    """Hourly closes, opens, volumes and funding of one coin, with a few bars absent."""
    rng = np.random.default_rng([seed, rows])
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, rows)))
    opened = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0.0, 1e-4, rows))
    volume = np.exp(rng.normal(3.0, 0.5, rows))
    absent = rng.choice(np.arange(20, rows - 20), gaps, replace=False)
    for values in (close, opened, volume):
        values[absent] = np.nan
    rate = np.where(np.arange(rows) % 8 == 7, rng.normal(0.0, 1e-4, rows), np.nan)
    arrays = {"open": opened, "close": close, "volume": volume, "funding": rate}
    return Table(at=START + HOUR * np.arange(rows, dtype=np.int64), arrays=arrays)


def staged(
    stage: Stage, history: Callable[[int], object] = market, timeline: Timeline | None = None
) -> Build:
    """A pipeline of one stage."""
    return lambda seed: Pipeline(
        history=history(seed), timeline=timeline or ArrayTimeline(), stages=(stage,), title=stage.name
    )


def alarms(found: Audit) -> tuple[Check, ...]:
    """The checks that found something, in order."""
    return tuple(dict.fromkeys(f.check for f in found.findings if f.outcome not in ("clean", "not run")))


def table_row(leak: Leak) -> str:
    """A line of the table in the documents."""
    caught = ", ".join(alarms(look(leak.leaky(0), thorough=leak.thorough)))
    return f"| {leak.name} | {leak.check} | {caught} | {leak.freqtrade} |"


def honest_pipeline(leaks: Sequence[Leak], seed: int) -> list[Pipeline]:
    """The honest twins, those over the same kind of history together."""
    groups: dict[str, Pipeline] = {}
    for leak in leaks:
        twin = leak.honest(seed)
        columns = sorted(getattr(twin.history, "arrays", {}))
        key = f"{type(twin.timeline).__name__} {len(twin.history)} {columns}"  # type: ignore[arg-type]
        known = groups.get(key)
        groups[key] = twin if known is None else _together(known, twin)
    return list(groups.values())


def _together(left: Pipeline, right: Pipeline) -> Pipeline:
    names = ("stages", "fits", "splits", "accounts", "scorings", "forecasts")
    merged = {name: (*getattr(left, name), *getattr(right, name)) for name in names}
    return replace(left, shuffled=left.shuffled or right.shuffled, title="honest twins", **merged)
