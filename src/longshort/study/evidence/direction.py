"""Does it know which way prices will move: hit rates with their power, AUC, market timing, calibration of P(up)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from longshort.models.forecast import Forecast, Values
from longshort.study.case import Case
from longshort.study.evidence.gains import bars_text, house_test, listed, number, p_cell, who
from longshort.study.metrics import majority_losses, mean_loss
from longshort.study.section import Cell, Chart, Column, Section, Series, Table
from longshort.study.significance import MeanTest
from longshort.study.statistics.direction import (
    auc_gain,
    effective_tosses,
    instants_needed,
    pesaran_timmermann,
    power_of,
    smallest_shown,
    timing_gain,
)

PerCoin = Float64[np.ndarray, "time asset"]
KEY, TITLE = "direction", "Does it know which way prices will move?"
PARTS = 10
COLUMNS = (
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="forecaster"),
    Column(name="hits", kind="percent", digits=2, meaning="share of directions that were right"),
    Column(
        name="majority",
        kind="percent",
        digits=2,
        meaning="hits of each coin's commoner direction in training",
    ),
    Column(name="gain", kind="signed", unit="points", digits=2, meaning="hits above the majority's"),
    Column(name="±", kind="number", unit="points", digits=2, meaning="half of the 95 % interval of the gain"),
    Column(name="p", kind="p", meaning="one-sided: the gain is not above zero"),
    Column(name="AUC", kind="number", digits=4, meaning="a rise had the higher P(up) than a fall, per coin"),
    Column(name="± AUC", kind="number", digits=4, meaning="half of the 95 % interval of the AUC"),
    Column(name="p AUC", kind="p", meaning="one-sided: the AUC is not above one half"),
    Column(
        name="timing",
        kind="signed",
        unit="points",
        digits=2,
        meaning="hits beyond unrelated up and down calls",
    ),
    Column(name="p timing", kind="p", meaning="Pesaran-Timmermann on per-instant means, one-sided"),
    Column(
        name="naive p", kind="p", meaning="Pesaran-Timmermann 1992, every coin a toss of its own: too small"
    ),
)
POWER_COLUMNS = (
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="hits", kind="percent", digits=2),
    Column(name="directions", kind="count", meaning="cells with a direction, all coins"),
    Column(
        name="worth", kind="count", unit="tosses", meaning="independent tosses that would be as uncertain"
    ),
    Column(
        name="needed", kind="count", unit="tosses", meaning="to show this hit rate against .5 with 80 % power"
    ),
    Column(
        name="power",
        kind="percent",
        digits=0,
        meaning="chance to show this hit rate with this sample, at 5 %",
    ),
    Column(
        name="smallest shown",
        kind="percent",
        digits=2,
        meaning="hit rate that this sample shows with 80 % power",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One forecaster at one horizon: misses, the majority's on the same cells, score and lean per row."""

    horizon: int
    name: str
    miss: PerCoin
    majority: PerCoin
    score: PerCoin
    lean: PerCoin
    came: PerCoin


def section(case: Case) -> Section:
    """Hits, AUC and timing of every forecaster that names a direction; power and calibration of the model."""
    names = who(case, "miss")
    if case.model not in names:
        return Section(key=KEY, title=TITLE, reading="", missing="The model names no direction.")
    majority = majority_losses(case.truth)["miss"]
    scores = {name: p_up(case.walk.forecasts[name], dense=name in who(case, "crps")) for name in names}
    asked = [
        _asked(case, name, k, scores[name], majority)
        for k in range(len(case.forecast.horizons))
        for name in names
    ]
    rows = tuple(_row(case, one) for one in asked)
    powers = tuple(_power(case, one) for one in asked if one.name == case.model)
    tables = (
        Table(
            name="direction",
            title="Directions",
            columns=COLUMNS,
            rows=rows,
            note=_naive_note(rows, case.model),
        ),
        Table(name="power", title="What this sample can show", columns=POWER_COLUMNS, rows=powers),
    )
    charts = _charts(case, scores[case.model]) if case.model in who(case, "crps") else ()
    reading = _reading([row for row in rows if row[1] == case.model], powers)
    return Section(key=KEY, title=TITLE, reading=reading, tables=tables, charts=charts)


def p_up(forecast: Forecast, *, dense: bool) -> Values:
    """The probability of a rise; of a forecast without a law, its expected return, which ranks alike."""
    mean = forecast.law.mean()
    return 1.0 - forecast.law.cdf(np.zeros_like(mean)) if dense else mean


def _asked(case: Case, name: str, k: int, score: Values, majority: Values) -> _Asked:
    miss = case.losses[name]["miss"][..., k]
    return _Asked(
        horizon=case.forecast.horizons[k],
        name=name,
        miss=miss,
        majority=np.where(np.isnan(miss), np.nan, majority[..., k]),
        score=score[..., k],
        lean=case.walk.forecasts[name].law.mean()[..., k],
        came=case.truth.outcome[..., k],
    )


def _row(case: Case, one: _Asked) -> tuple[Cell, ...]:
    gain = house_test(case, one.majority - one.miss, one.horizon)
    area = house_test(case, auc_gain(one.score, one.came)[0], one.horizon)
    timed = timing_gain(one.lean, one.came)
    timing = house_test(case, timed, one.horizon)
    naive = pesaran_timmermann(one.lean.ravel(), one.came.ravel())
    return (
        one.horizon, one.name, 1.0 - mean_loss(one.miss), 1.0 - mean_loss(one.majority),
        100.0 * gain.mean, 100.0 * gain.half_width, p_cell(gain),
        0.5 + area.mean, area.half_width, p_cell(area),
        100.0 * timing.mean, p_cell(timing), naive.p_value,
    )  # fmt: skip


def _power(case: Case, one: _Asked) -> tuple[Cell, ...]:
    hits = 1.0 - mean_loss(one.miss)
    tosses = effective_tosses(1.0 - one.miss, case.panel.grid_row, horizon_bars=one.horizon)
    needed = instants_needed(hits)
    cells = int(np.count_nonzero(~np.isnan(one.miss)))
    known = np.isfinite(tosses)
    return (
        one.horizon, hits, cells, int(tosses) if known else None, needed,
        power_of(hits, tosses) if known else None, smallest_shown(tosses) if known else None,
    )  # fmt: skip


def _charts(case: Case, score: Values) -> tuple[Chart, ...]:
    came = case.truth.outcome
    rose = np.where(
        np.isfinite(came) & (came != 0.0) & np.isfinite(score), (came > 0.0).astype(float), np.nan
    )
    sure = np.abs(score - 0.5)
    hit = np.where(np.isnan(rose), np.nan, 1.0 - case.losses[case.model]["miss"])
    horizons = case.forecast.horizons
    stated = [_by_part(case, score[..., k], rose[..., k], h) for k, h in enumerate(horizons)]
    trusted = [_by_part(case, sure[..., k], hit[..., k], h) for k, h in enumerate(horizons)]
    ends = sorted(x for series in stated for x in series.x)
    ends = [ends[0], ends[-1]] if ends else [0.0, 1.0]
    diagonal = Series(name="as stated", x=tuple(ends), y=tuple(ends))
    ranks = [Series(name=s.name, x=_places(s), y=s.y, low=s.low, high=s.high) for s in trusted]
    return (
        Chart(
            name="reliability", title="When it says P(up), how often does it rise?", kind="dots",
            x_label="stated P(up)", y_label="share of rises", series=(diagonal, *stated), y_kind="percent",
            reading=_reliability_reading(stated),
        ),
        Chart(
            name="confidence", title="Are surer calls better?", kind="intervals", x_label="tenth, surest last",
            y_label="hits", series=tuple(ranks), y_kind="percent", reference=0.5,
            reading=_confidence_reading(trusted),
        ),
    )  # fmt: skip


def _by_part(case: Case, key: PerCoin, value: PerCoin, horizon: int) -> Series:
    """The mean of a value by tenth of a key, with its 95 % interval."""
    scored = np.isfinite(key) & np.isfinite(value)
    if np.count_nonzero(scored) < PARTS:
        return Series(name=bars_text(horizon), x=(), y=())
    edges = np.quantile(key[scored], np.arange(1, PARTS) / PARTS)
    part = np.where(scored, np.searchsorted(edges, key), -1)
    there = [p for p in range(PARTS) if np.any(part == p)]
    tests: list[MeanTest] = [
        house_test(case, np.where(part == p, value - 0.5, np.nan), horizon) for p in there
    ]
    return Series(
        name=bars_text(horizon),
        x=tuple(float(key[part == p].mean()) for p in there),
        y=tuple(0.5 + t.mean for t in tests),
        low=tuple(0.5 + t.mean - t.half_width for t in tests),
        high=tuple(0.5 + t.mean + t.half_width for t in tests),
    )


def _places(series: Series) -> tuple[float, ...]:
    return tuple(float(p + 1) for p in range(len(series.x)))


def _reliability_reading(stated: list[Series]) -> str:
    off = [
        f"{100.0 * float(np.mean(np.abs(np.subtract(s.y, s.x)))):.1f} points at {s.name}"
        for s in stated
        if s.x
    ]
    spans = [f"{min(s.x):.0%} to {max(s.x):.0%}" for s in stated if s.x]
    return (
        f"Stated chances span {', '.join(spans)} between their lowest and highest tenth; what came lies off the "
        f"diagonal by {', '.join(off)} on average."
        if off
        else "Too few directions to tell."
    )


def _confidence_reading(trusted: list[Series]) -> str:
    told = [f"{s.y[-1]:.1%} at {s.name} (least sure: {s.y[0]:.1%})" for s in trusted if s.x]
    return f"The surest tenth of calls hit {', '.join(told)}." if told else "Too few directions to tell."


def _naive_note(rows: tuple[tuple[Cell, ...], ...], model: str) -> str:
    worst = [
        (number(row[0]), number(row[12]), number(row[11]))
        for row in rows
        if row[1] == model and isinstance(row[11], float) and isinstance(row[12], float)
    ]
    told = "; ".join(f"{bars_text(h)}: {naive:.1g} becomes {robust:.1g}" for h, naive, robust in worst)
    return f"What coins that move together do to the p of market timing: {told}." if told else ""


def _reading(mine: list[tuple[Cell, ...]], powers: tuple[tuple[Cell, ...], ...]) -> str:
    told = [f"{number(r[2]):.1%} ({number(r[4]):+.2f} points) at {bars_text(number(r[0]))}" for r in mine]
    shown = [
        bars_text(number(r[0]))
        for r in mine
        if isinstance(r[6], float) and r[6] < 0.05 and number(r[4]) > 0.0
    ]
    verdict = f"beaten at {listed(shown)}, each test taken alone" if shown else "nowhere shown to be beaten"
    first = f"The model names {', '.join(told)} of directions rightly (each coin's commoner direction: {verdict})."
    least = [f"{number(p[6]):.1%} at {bars_text(number(p[0]))}" for p in powers if p[6] is not None]
    return first + (f" This sample shows hit rates from {', '.join(least)} on (80 % power)." if least else "")
