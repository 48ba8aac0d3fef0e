"""Against every opponent: who is beaten, by how much, and how sure that is by each of the known tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from jaxtyping import Int64

from longshort.base.errors import MissingExtra
from longshort.models.forecast import Values
from longshort.study.case import Case
from longshort.study.evidence.together import Field, fields_at, tables
from longshort.study.metrics import mean_loss, per_instant
from longshort.study.report import Comparison
from longshort.study.section import Cell, Chart, Column, Section, Series, Table
from longshort.study.significance import LEVEL, holm
from longshort.study.statistics.multiple import benjamini_hochberg
from longshort.study.statistics.pairwise import (
    PairTest,
    adjusted_gain,
    clark_west,
    diebold_mariano,
    favored,
    giacomini_white,
    on_even_grid,
    understatement,
)

Rows = Int64[np.ndarray, " time"]

KEY, TITLE = "rivals", "Against every opponent"
NAMED = 4  # opponents that a sentence names
CLUSTERED = 1.25  # times the standard error of h - 1 lags: from here on the reader is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """One opponent at one horizon: the house comparison in CRPS, and what the tests by name say of the same gain."""

    house: Comparison
    classic: PairTest
    conditional: PairTest
    favored: float
    understated: float


def section(case: Case) -> Section:
    """Every opponent that states a distribution, at every horizon: by pairs, and all together."""
    houses = [c for c in case.comparisons if c.metric == "crps" and c.n_instants]
    if not houses:
        return Section(
            key=KEY, title=TITLE, reading="", missing="No opponent states a distribution to compare with."
        )
    duels = [_duel_of(case, house) for house in houses]
    fields, without = _fields(case)
    nested = _nested(case)
    return Section(
        key=KEY,
        title=TITLE,
        reading=" ".join([told_pairs(case.model, duels), *told_fields(case.model, fields)]),
        tables=(pair_table(duels), *tables(fields), *([nested] if nested.rows else [])),
        charts=(skill_chart(duels),),
        notes=(*without, *_notes(case, duels, fields)),
    )


def duel(mine: Values, theirs: Values, house: Comparison, grid_row: Rows, at: int) -> Duel:
    """Test the gain in CRPS over one opponent at a horizon, on the rows that both score."""
    gain = per_instant(theirs[..., at] - mine[..., at])
    even, steps = on_even_grid(gain, grid_row, horizon_bars=house.horizon_bars)
    return Duel(
        house=house,
        classic=diebold_mariano(even, horizon_bars=steps),
        conditional=giacomini_white(even, horizon_bars=steps),
        favored=favored(even, horizon_bars=steps),
        understated=understatement(even, horizon_bars=steps),
    )


def told_pairs(model: str, duels: Sequence[Duel]) -> str:
    """Who is beaten at every horizon once all comparisons are counted, and who is not.

    The p-values are Holm's over all pairs and horizons.
    """
    strict = holm([d.house.p_value for d in duels])
    open_ = [d.house for d, p in zip(duels, strict, strict=True) if p >= LEVEL]
    counted = f"{len(duels)} comparisons of CRPS" if len(duels) > 1 else "the one comparison of CRPS"
    if not open_:
        least = min((d.house for d in duels), key=lambda house: house.skill)
        return (
            f"{model} wins {'all ' if len(duels) > 1 else ''}{counted} at p < .05{', all counted' * (len(duels) > 1)}; "
            f"closest is {least.opponent}, {_ahead(least.horizon_bars)}: {least.skill:+.2f} % "
            f"({least.ci95[0]:+.2f} to {least.ci95[1]:+.2f})."
        )
    lost = [house for house in open_ if house.ci95[1] < 0.0]
    worse = f" It is worse than: {_places(lost)}." if lost else ""
    undecided = [house for house in open_ if house not in lost]
    unclear = f" Undecided: {_places(undecided)}." if undecided else ""
    return f"{model} wins {len(duels) - len(open_)} of {counted} at p < .05, all counted.{unclear}{worse}"


def told_fields(model: str, fields: Sequence[Field]) -> list[str]:
    """Who may be the best of all, by horizon."""
    whole = [f for f in fields if not f.seldom and not f.crps.reason]
    if not whole:
        return []
    alone = [f for f in whole if f.may_be_best == (model,)]
    if len(alone) == len(whole):
        return [f"With 90 % confidence {model} alone is the best at every horizon."]
    said = [f"{_ahead(f.horizon_bars)} {_listed(f.may_be_best)}" for f in whole]
    return [f"With 90 % confidence the best is among: {'; '.join(said)}."]


def pair_table(duels: Sequence[Duel]) -> Table:
    """One line per horizon and opponent."""
    p_values = [d.house.p_value for d in duels]
    corrected = zip(duels, holm(p_values), benjamini_hochberg(p_values), strict=True)
    columns = (
        Column(name="bars ahead", kind="count"),
        Column(name="opponent"),
        Column(name="skill", kind="signed", unit="%", meaning="CRPS below the opponent's, on the same rows"),
        Column(name="from", kind="signed", unit="%", meaning="lower end of the 95 % interval"),
        Column(name="to", kind="signed", unit="%", meaning="upper end of the 95 % interval"),
        Column(name="p", kind="p", meaning="one-sided, long-run variance: what the verdict rests on"),
        Column(name="p Holm", kind="p", meaning="chance of even one false win in this table"),
        Column(name="p Benjamini-Hochberg", kind="p", meaning="share of false wins among those as sure"),
        Column(name="p Diebold-Mariano", kind="p", meaning="Harvey-Leybourne-Newbold, h - 1 lags"),
        Column(name="error ratio", kind="number", meaning="standard error by long-run variance, over h - 1 lags"),
        Column(name="p Giacomini-White", kind="p", meaning="no sides: could the gain be told beforehand?"),
        Column(name="favored", kind="percent", digits=0, meaning="instants whose last gain speaks for the model"),
        Column(name="instants", kind="count"),
    )  # fmt: skip
    return Table(
        name="opponents",
        title="Skill in CRPS, opponent by opponent",
        columns=columns,
        rows=tuple(_pair_row(d, strict, mild) for d, strict, mild in corrected),
        note="Both corrections count every line of this table.",
    )


def skill_chart(duels: Sequence[Duel]) -> Chart:
    """Skill with its interval, opponent by opponent, one series per horizon."""
    names = list(dict.fromkeys(d.house.opponent for d in duels))
    horizons = list(dict.fromkeys(d.house.horizon_bars for d in duels))
    closest = [min((d.house for d in duels if d.house.horizon_bars == h), key=_skill) for h in horizons]
    said = [f"{_ahead(c.horizon_bars)} {c.opponent} ({c.skill:+.2f} %)" for c in closest]
    return Chart(
        name="skill",
        title="How much better than each opponent",
        kind="intervals",
        x_label="opponent",
        y_label="CRPS below the opponent's, %",
        series=tuple(_series(h, names, duels) for h in horizons),
        reading=f"Above zero is better; hardest to beat: {', '.join(said)}.",
        labels=tuple(names),
        x_kind="label",
        y_kind="signed",
        reference=0.0,
    )


def _duel_of(case: Case, house: Comparison) -> Duel:
    at = case.forecast.at(house.horizon_bars)
    mine, theirs = case.losses[case.model]["crps"], case.losses[house.opponent]["crps"]
    return duel(mine, theirs, house, _grid_row(case), at)


def _grid_row(case: Case) -> Rows:
    rows = case.walk.tested
    return case.market.bars.grid_row[rows.start : rows.stop]


def _fields(case: Case) -> tuple[list[Field], tuple[str, ...]]:
    horizons = case.forecast.horizons
    try:
        found = [f for at, h in enumerate(horizons) for f in fields_at(case.losses, case.model, h, at)]
    except MissingExtra as error:
        return [], (f"Nobody was compared with all others at once: {error}",)
    return found, ()


def _pair_row(duel: Duel, strict: float, mild: float) -> tuple[Cell, ...]:
    house = duel.house
    p_values = (nan,) * 3 if house.reason else (house.p_value, strict, mild)
    return (
        house.horizon_bars,
        house.opponent,
        house.skill,
        *house.ci95,
        *p_values,
        nan if duel.classic.reason else duel.classic.p_value,
        duel.understated,
        nan if duel.conditional.reason else duel.conditional.p_value,
        duel.favored,
        house.n_instants,
    )


def _series(horizon_bars: int, names: Sequence[str], duels: Sequence[Duel]) -> Series:
    mine = [d.house for d in duels if d.house.horizon_bars == horizon_bars and np.isfinite(d.house.skill)]
    return Series(
        name=_ahead(horizon_bars),
        x=tuple(float(names.index(house.opponent)) for house in mine),
        y=tuple(house.skill for house in mine),
        low=tuple(house.ci95[0] for house in mine),
        high=tuple(house.ci95[1] for house in mine),
    )


def _nested(case: Case) -> Table:
    """Whether forecasts of the mean hold anything that "the price stays" does not, by Clark and West."""
    rows = [
        row
        for name, forecast in case.walk.forecasts.items()
        if forecast.dense
        for row in _nesting(case, name)
    ]
    columns = (
        Column(name="bars ahead", kind="count"),
        Column(name="forecaster"),
        Column(name="R2", kind="signed", unit="%", digits=3, meaning="squared error below that of no change"),
        Column(name="t", kind="signed", meaning="of the adjusted gain, long-run variance"),
        Column(name="p Clark-West", kind="p", meaning="one-sided, not corrected for the number of lines"),
        Column(name="instants", kind="count"),
    )
    return Table(
        name="nested",
        title="Does the forecast of the mean know anything that the previous value does not?",
        columns=columns,
        rows=tuple(sorted(rows, key=lambda row: row[0])),
        note="A small p says that the mean is not nothing, not that it lowers the error: for that see R2.",
    )  # fmt: skip


def _nesting(case: Case, name: str) -> list[tuple[int, str, float, float, float, int]]:
    mean, came, found = case.walk.forecasts[name].law.mean(), case.truth.outcome, []
    for at, horizon in enumerate(case.forecast.horizons):
        if not np.any(np.nan_to_num(mean[..., at])):
            continue
        gain = adjusted_gain(came[..., at], np.zeros_like(came[..., at]), mean[..., at])
        even, steps = on_even_grid(per_instant(gain), _grid_row(case), horizon_bars=horizon)
        test = clark_west(even, horizon_bars=steps)
        squared = np.where(np.isfinite(gain), came[..., at] ** 2, nan)
        r2 = 100.0 * (1.0 - mean_loss(case.losses[name]["mse"][..., at]) / mean_loss(squared))
        found.append((horizon, name, r2, test.statistic, nan if test.reason else test.p_value, test.n))
    return found


def _notes(case: Case, duels: Sequence[Duel], fields: Sequence[Field]) -> list[str]:
    notes: list[str] = []
    surer = [d for d in duels if d.understated >= CLUSTERED]
    if surer:
        worst = max(surer, key=lambda d: d.understated)
        notes.append(
            f"Losses cluster: with h - 1 lags the standard error is too small in {len(surer)} of {len(duels)} lines, "
            f"{worst.understated:.1f} times against {worst.house.opponent} {_ahead(worst.house.horizon_bars)}. There "
            "Diebold and Mariano's p is not to be believed; the long-run one is."
        )
    seldom = list(dict.fromkeys(name for f in fields for name in f.seldom))
    if seldom:
        notes.append(
            f"{', '.join(seldom)} speak at few instants: each is compared on its own rows, and all together once more "
            "on the rows that everybody scores."
        )
    if len(case.walk.folds) > 1 and len({fold.train.start for fold in case.walk.folds}) == 1:
        notes.append(
            "Giacomini and White's test is made for windows of one length; with expanding ones it describes."
        )
    return notes


def _skill(house: Comparison) -> float:
    return house.skill if np.isfinite(house.skill) else float("inf")


def _places(houses: Sequence[Comparison]) -> str:
    named = [f"{h.opponent} {_ahead(h.horizon_bars)}" for h in sorted(houses, key=_skill)]
    return _listed(named)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _ahead(horizon_bars: int) -> str:
    """How far ahead, for a sentence.

    >>> _ahead(1), _ahead(24)
    ('at 1 bar', 'at 24 bars')
    """
    return f"at {horizon_bars} bar{'s' if horizon_bars != 1 else ''}"
