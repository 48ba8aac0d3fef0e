"""How the networks learned: what the validation rows said at each look, where each horizon stopped, and why."""

from collections import Counter
from collections.abc import Sequence
from math import nan

import numpy as np

from longshort.models.lstm import FittedLSTM
from longshort.models.training.fitting import ALL_DONE, Member
from longshort.study.case import Case
from longshort.study.evidence.gains import bars_text, listed
from longshort.study.section import Cell, Chart, Column, Section, Series, Table

KEY, TITLE = "learning", "How did the networks learn, and why did they stop?"
STOPPED = "best moment"
COLUMNS = (
    Column(name="fold", kind="count"),
    Column(name="seed", kind="count"),
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="best step", kind="count", meaning="where the validation rows were forecast best"),
    Column(name="of", kind="count", unit="steps", meaning="that were taken"),
    Column(name="score there", kind="number", digits=4, meaning="minus the mean loss of the validation rows"),
    Column(name="since the first look", kind="signed", digits=4),
    Column(name="lost by the end", kind="signed", digits=4, meaning="last look minus the best"),
    Column(name="stopped because"),
    Column(name="seconds", kind="number", digits=1),
)
NOTE = "The score is minus the loss that was learned by, of the validation rows: in nats for a density, more is better."
Fits = list[tuple[int, Member]]


def section(case: Case) -> Section:
    """Every fold and seed: its curve over the steps, its best step per horizon, and the reason of its end."""
    fits = _fits(case)
    if not fits:
        return Section(key=KEY, title=TITLE, reading="", missing=f"{case.model} is not trained step by step.")
    horizons = case.forecast.horizons
    rows = tuple(_row(fold, member, k, h) for fold, member in fits for k, h in enumerate(horizons))
    table = Table(name="curves", title="Where each fit stopped", columns=COLUMNS, rows=rows, note=NOTE)
    charts = tuple(_chart(fits, k, horizon) for k, horizon in enumerate(horizons))
    return Section(key=KEY, title=TITLE, reading=_reading(fits, horizons), tables=(table,), charts=charts)


def stopping_reasons(members: Sequence[Member]) -> str:
    """Why the search of each seed ended.

    >>> from longshort.models.training.fitting import Curve
    >>> curve = Curve(steps=(1,), score=((0.0,),), best_step=(1,), seconds=0.0, stopped="all steps done")
    >>> none = np.zeros((0, 0, 1), dtype=np.float32)
    >>> stopping_reasons([Member(seed=s, weights=(), curve=curve, validation_mean=none) for s in (1, 2)])
    'all steps done (seeds 1 and 2)'
    """
    seeds: dict[str, list[str]] = {}
    for member in members:
        seeds.setdefault(_reason(member), []).append(str(member.seed))
    return "; ".join(
        f"{reason} (seed{'s' if len(who) > 1 else ''} {listed(who)})" for reason, who in seeds.items()
    )


def _fits(case: Case) -> Fits:
    fitted = [models.get(case.model) for models in case.walk.fitted]
    return [
        (number + 1, member)
        for number, one in enumerate(fitted)
        if isinstance(one, FittedLSTM)
        for member in one.members
        if member.curve.steps
    ]


def _row(fold: int, member: Member, k: int, horizon: int) -> tuple[Cell, ...]:
    curve = member.curve
    score = [at[k] for at in curve.score]
    best = max(score)
    return (
        fold, member.seed, horizon, curve.best_step[k], curve.steps[-1], best, best - score[0], score[-1] - best,
        _reason(member), curve.seconds,
    )  # fmt: skip


def _reason(member: Member) -> str:
    return member.curve.stopped or "not on record"


def _reading(fits: Fits, horizons: tuple[int, ...]) -> str:
    counts = Counter(_reason(member) for _, member in fits)
    why = "; ".join(f"{reason} ({count} of {len(fits)})" for reason, count in counts.most_common())
    steps = listed(
        [
            f"{np.median([m.curve.best_step[k] for _, m in fits]):.0f} at {bars_text(horizon)}"
            for k, horizon in enumerate(horizons)
        ]
    )
    told = f"Why fits stopped: {why}. The median best step is {steps}."
    late = sum(max(m.curve.best_step) == m.curve.steps[-1] and _reason(m) == ALL_DONE for _, m in fits)
    if 2 * late > len(fits):
        told += f" {late} were at their best when the steps ran out: more of them may help."
    return told


def _chart(fits: Fits, k: int, horizon: int) -> Chart:
    lines = [
        Series(
            name=f"fold {fold}, seed {member.seed}",
            x=tuple(float(step) for step in member.curve.steps),
            y=tuple(score[k] - member.curve.score[0][k] for score in member.curve.score),
        )
        for fold, member in fits
    ]
    return Chart(
        name=f"learning_{horizon}",
        title=f"Validation score by step, {bars_text(horizon)} ahead",
        kind="lines",
        x_label="steps",
        y_label="score since the first look",
        series=(_moments(lines), *lines),
        reading=_chart_reading(lines, horizon),
        reference=0.0,
    )


def _moments(lines: list[Series]) -> Series:
    """The best point of every line; nothing between them, so that they are marks and no line."""
    best = [int(np.argmax(line.y)) for line in lines]
    x = [line.x[at] for line, at in zip(lines, best, strict=True) for _ in range(2)]
    y = [value for line, at in zip(lines, best, strict=True) for value in (line.y[at], nan)]
    return Series(name=STOPPED, x=tuple(x), y=tuple(y))


def _chart_reading(lines: list[Series], horizon: int) -> str:
    gained = [max(line.y) for line in lines]
    lost = [max(line.y) - line.y[-1] for line in lines]
    return (
        f"At {bars_text(horizon)} a fit gains {np.median(gained):.4f} from its first look to its best moment and loses "
        f"{np.median(lost):.4f} of it by its last, in the median."
    )
