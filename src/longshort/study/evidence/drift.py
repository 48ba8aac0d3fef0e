"""Whether the world changed while the model was judged, and how fast the model ages.

The detectors that watch a model in use are run over the tested rows, each outcome told only when it had come.
"""

from collections.abc import Iterator

import numpy as np

from longshort.base.errors import MissingExtra
from longshort.models.opponents.scale import EWMA
from longshort.study.case import Case
from longshort.study.drift.detectors import (
    Closed,
    Coverage,
    Detector,
    Drift,
    Inputs,
    Residuals,
    Skill,
    alarms,
)
from longshort.study.drift.shadow import standardised
from longshort.study.evidence.gains import bars_text, hardest, house_test, p_cell, who
from longshort.study.metrics import mean_loss, per_instant
from longshort.study.section import Cell, Chart, Column, Section, Series, Table

KEY, TITLE = "drift", "Did it drift, and how fast does it age?"
AGES = 4  # parts of a fold
ALARM_COLUMNS = (
    Column(name="what"),
    Column(name="seen", kind="instant"),
    Column(name="since about", kind="instant"),
    Column(name="how"),
)
AGE_COLUMNS = (
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="age from", kind="count", unit="bars"),
    Column(name="to", kind="count", unit="bars"),
    Column(name="CRPS gain", kind="signed", unit="%", digits=2),
    Column(name="±", kind="number", unit="%", digits=2, meaning="half of the 95 % interval"),
    Column(name="p", kind="p", meaning="one-sided: no gain"),
)


def section(case: Case) -> Section:
    """Alarms on inputs, residuals, coverage and skill, and the gain by the age of the model in charge."""
    if case.model not in who(case, "crps"):
        return Section(key=KEY, title=TITLE, reading="", missing=f"{case.model} states no distribution.")
    try:
        found = _alarms(case)
    except MissingExtra as error:
        return Section(key=KEY, title=TITLE, reading="", missing=str(error))
    rival = hardest(case)
    ages = _ages(case, rival) if rival else []
    tables = [
        Table(name="alarms", title="Alarms", columns=ALARM_COLUMNS, rows=tuple(_told(case, d) for d in found))
    ]
    if rival:
        title = f"Gain on {rival} by bars since training ended"
        tables.append(Table(name="age", title=title, columns=AGE_COLUMNS, rows=tuple(ages)))
    return Section(
        key=KEY,
        title=TITLE,
        reading=f"{_heard(found)} {_aged(case, ages)}".strip(),
        tables=tuple(tables),
        charts=(_chart(case, ages, str(rival)),) if ages else (),
    )


def _alarms(case: Case) -> list[Drift]:
    """All alarms over the tested rows, in time order; inputs by what the network reads."""
    rows, first = case.walk.tested, case.walk.folds[0]
    inputs = standardised(case.market.panel, case.market.recipe.names, first.train, rows)
    detectors: list[Detector] = [Inputs(case.market.recipe.names), Residuals(), Coverage(), Skill()]
    closed = list(_closed(case, inputs))
    return sorted((drift for d in detectors for drift in alarms(d, closed)), key=lambda drift: drift.row)


def _closed(case: Case, inputs: np.ndarray) -> Iterator[Closed]:
    """Row by row what had become known: the outcome of a forecast comes so many bars after it was made."""
    horizon = min(case.market.targets.horizons)
    k = case.market.targets.horizons.index(horizon)
    pit = case.forecast.law.cdf(case.truth.outcome)[:, :, k]
    gain = np.full(len(pit), np.nan)
    if EWMA in case.losses:
        gain = per_instant((case.losses[EWMA]["log_score"] - case.losses[case.model]["log_score"])[:, :, k])
    grid_row = case.panel.grid_row
    for t in range(len(pit)):
        apart = (
            t >= horizon and int(grid_row[t - horizon]) % horizon == 0
        )  # overlapping outcomes say a thing twice
        yield Closed(
            row=t,
            inputs=inputs[t],
            pit=pit[t - horizon] if apart else np.full(pit.shape[1], np.nan),
            gain_nats=float(gain[t - horizon]) if apart else float("nan"),
        )


def _ages(case: Case, rival: str) -> list[tuple[Cell, ...]]:
    """The gain in each part of a fold, all folds together."""
    age = np.concatenate([np.arange(len(fold.test)) for fold in case.walk.folds])
    longest = max(len(fold.test) for fold in case.walk.folds)
    edges = np.linspace(0, longest, AGES + 1).astype(int)
    rows: list[tuple[Cell, ...]] = []
    for k, horizon in enumerate(case.market.targets.horizons):
        mine, theirs = case.losses[case.model]["crps"][:, :, k], case.losses[rival]["crps"][:, :, k]
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            chosen = ((age >= low) & (age < high))[:, None]
            gain = np.where(chosen, theirs - mine, np.nan)
            test = house_test(case, gain, horizon)
            base = mean_loss(np.where(np.isnan(gain), np.nan, theirs)) / 100.0
            rows.append((horizon, low, high, test.mean / base, test.half_width / base, p_cell(test)))
    return rows


def _told(case: Case, drift: Drift) -> tuple[Cell, ...]:
    at = case.panel.closed_at
    return (drift.kind, int(at[drift.row]), int(at[max(drift.since, 0)]), drift.detail)


def _heard(found: list[Drift]) -> str:
    kinds = [drift.kind for drift in found]
    if not kinds:
        return "Nothing drifted: neither what the model reads nor how it errs, covers or compares."
    counts = [f"{kinds.count(kind)} on {kind}" for kind in dict.fromkeys(kinds)]
    grave = [kind for kind in dict.fromkeys(kinds) if kind != "inputs"]
    meaning = "The model's own errors changed." if grave else "What it reads moved; its errors did not."
    return f"Alarms: {', '.join(counts)}. {meaning}"


def _aged(case: Case, ages: list[tuple[Cell, ...]]) -> str:
    shortest = min(case.market.targets.horizons)
    gains = [row[3] for row in ages if row[0] == shortest]
    known = [gain for gain in gains if isinstance(gain, float) and np.isfinite(gain)]
    if len(known) < 2:
        return ""
    return f"Its gain {bars_text(shortest)} ahead is {known[0]:+.2f} % when fresh and {known[-1]:+.2f} % when oldest."


def _chart(case: Case, ages: list[tuple[Cell, ...]], rival: str) -> Chart:
    series: list[Series] = []
    for horizon in case.market.targets.horizons:
        own = [row for row in ages if row[0] == horizon]
        values = np.array([[row[1], row[2], row[3], row[4]] for row in own], dtype=np.float64)
        middle, gain, half = values[:, :2].mean(axis=1), values[:, 2], values[:, 3]
        series.append(
            Series(
                name=f"{bars_text(horizon)} ahead",
                x=tuple(middle.tolist()),
                y=tuple(gain.tolist()),
                low=tuple((gain - half).tolist()),
                high=tuple((gain + half).tolist()),
            )
        )
    return Chart(
        name="age",
        title=f"CRPS gain on {rival} by the age of the model",
        kind="lines",
        x_label="bars since training ended",
        y_label="CRPS gain, %",
        y_kind="signed",
        series=tuple(series),
        reference=0.0,
        reading="A line that falls says: retrain sooner. Bands are 95 % intervals.",
    )
