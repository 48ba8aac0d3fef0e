"""Were the worst cases as bad and as frequent as forecast: value at risk and expected shortfall, long and short."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from longshort.models.forecast import Law
from longshort.study.case import Case
from longshort.study.evidence.calendar import quarters
from longshort.study.evidence.gains import apart, bars_text, hardest, interval_series, listed, number, who
from longshort.study.metrics import per_instant
from longshort.study.section import Cell, Chart, Column, Section, Series, Table
from longshort.study.significance import LEVEL, MeanTest, holm, skill_test
from longshort.study.statistics.risk import (
    Exceedances,
    Shortfall,
    exceedance_tests,
    expected_shortfall,
    shortfall_gains,
    shortfall_null,
    shortfall_test,
    tail_ratios,
    value_at_risk,
)

PerCoin = Float64[np.ndarray, "time asset"]
KEY, TITLE = "risk", "Were the worst cases as bad and as frequent as forecast?"
RATES = (0.05, 0.01)
SIDES = (("long", False), ("short", True))
NULL_ROWS = 100  # rows whose forecast tails stand for all in the simulated null
LEAST_ROWS = 60
SEED = 20_261_121
COLUMNS = (
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="forecaster"),
    Column(name="position"),
    Column(name="confidence", kind="percent", digits=0),
    Column(name="exceeded", kind="percent", digits=2, meaning="share of losses beyond the value at risk"),
    Column(name="±", kind="percent", digits=2, meaning="half of the 95 % interval, coins together"),
    Column(name="Kupiec", meaning="coins whose rate is rejected at 5 %, of all"),
    Column(name="independence", meaning="Christoffersen: coins whose exceedances come in runs, at 5 %"),
    Column(name="both", meaning="Christoffersen's conditional coverage: coins rejected at 5 %"),
    Column(
        name="Z1",
        kind="signed",
        digits=3,
        meaning="Acerbi-Szekely: below 0, exceedances are worse than forecast",
    ),
    Column(name="± Z1", kind="number", digits=3),
    Column(
        name="Z2",
        kind="signed",
        digits=3,
        meaning="below 0, exceedances are worse or more frequent than forecast",
    ),
    Column(name="± Z2", kind="number", digits=3),
    Column(name="Z2 rejected", meaning="coins whose Z2 is below the simulated 5 % quantile"),
    Column(name="rows", kind="count", meaning="non-overlapping instants"),
)
COIN_COLUMNS = (
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="coin"),
    Column(name="position"),
    Column(name="confidence", kind="percent", digits=0),
    Column(name="rows", kind="count"),
    Column(name="exceeded", kind="count"),
    Column(name="expected", kind="number", digits=1),
    Column(name="p Kupiec", kind="p", meaning="the rate is right"),
    Column(name="p independence", kind="p", meaning="one exceedance says nothing about the next"),
    Column(name="p both", kind="p"),
    Column(name="Z1", kind="signed", digits=3),
    Column(name="p Z1", kind="p", meaning="one-sided, simulated: exceedances are no worse than forecast"),
    Column(name="Z2", kind="signed", digits=3),
    Column(name="p Z2", kind="p", meaning="one-sided, simulated: nor more frequent"),
)
NOTE = (
    "Z1 and Z2 are 0 on average if the forecast is right; their intervals are the house test's on means over coins. "
    "By coin the 5 % critical value of Z2 is simulated: 2,000 draws under the forecast's own tails. Of coins "
    "without fault 5 % are rejected; they move together, so several may be at once."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tail:
    """Losses, value at risk and shortfall of one position at one rate and horizon, non-overlapping rows only."""

    rate: float
    loss: PerCoin
    var: PerCoin
    es: PerCoin
    ratios: Float64[np.ndarray, " draw"]
    grid_row: Int64[np.ndarray, " time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What one tail showed: coins together, then coin by coin."""

    nominal: float
    excess: MeanTest
    z1: MeanTest
    z2: MeanTest
    coins: dict[str, tuple[Exceedances, Shortfall]]


def section(case: Case) -> Section:
    """Back-tests of the model and its hardest opponent at 95 % and 99 %, both sides, every horizon."""
    if case.model not in who(case, "crps"):
        return Section(key=KEY, title=TITLE, reading="", missing="The model states no distribution.")
    rival = hardest(case)
    names = [case.model, *([rival] if rival else [])]
    laws = {name: case.walk.forecasts[name].law for name in names}
    found = {
        (h, name, side, 1.0 - rate): judged
        for name in names
        for rate in RATES
        for side, short in SIDES
        for h, judged in _by_horizon(case, laws[name], rate, short=short).items()
    }
    order = sorted(found, key=lambda at: (at[0], names.index(at[1]), at[2], at[3]))
    rows = tuple((*at, *_cells(found[at])) for at in order)
    coins = tuple(row for at in order if at[1] == case.model for row in _coin_rows(at, found[at]))
    tables = (
        Table(name="tails", title="Back-tests of the tails", columns=COLUMNS, rows=rows, note=NOTE),
        Table(name="tails_by_coin", title="The model's tails by coin", columns=COIN_COLUMNS, rows=coins),
    )
    reading = _reading([row for row in rows if row[1] == case.model]) + _coin_reading(coins)
    return Section(
        key=KEY, title=TITLE, reading=reading, tables=tables, charts=(_chart(case, laws[case.model]),)
    )


def _by_horizon(case: Case, law: Law, rate: float, *, short: bool) -> dict[int, _Found]:
    var = value_at_risk(law, rate, short=short)
    es = expected_shortfall(law, var, rate, short=short)
    ratios = tail_ratios(law[:: max(len(var) // NULL_ROWS, 1)], rate, short=short)
    loss = case.truth.outcome if short else -case.truth.outcome
    found: dict[int, _Found] = {}
    for k, horizon in enumerate(case.forecast.horizons):
        places = apart(case, horizon)
        tail = _Tail(
            rate=rate,
            loss=loss[places, :, k],
            var=var[places, :, k],
            es=es[places, :, k],
            ratios=_finite(ratios[:, :, k]),
            grid_row=case.panel.grid_row[places] // horizon,
        )
        found[horizon] = _judge(tail, case.forecast.symbols)
    return found


def _judge(tail: _Tail, symbols: tuple[str, ...]) -> _Found:
    z1, z2 = shortfall_gains(tail.loss, tail.var, tail.es, tail.rate)
    excess = np.where(np.isnan(z2), np.nan, (tail.loss > tail.var) - tail.rate)
    nulls: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    coins: dict[str, tuple[Exceedances, Shortfall]] = {}
    for a, symbol in enumerate(symbols):
        known = np.flatnonzero(~np.isnan(z2[:, a]))
        if len(known) >= LEAST_ROWS and len(tail.ratios):
            size = _rounded(len(known))
            if size not in nulls:
                rng = np.random.default_rng(SEED)
                nulls[size] = shortfall_null(size, tail.rate, ratios=tail.ratios, rng=rng)
            loss, var, es = tail.loss[known, a], tail.var[known, a], tail.es[known, a]
            shortfall = shortfall_test(loss, var, es, tail.rate, null=nulls[size])
            coins[symbol] = (exceedance_tests(loss > var, tail.rate), shortfall)
    tests = [skill_test(per_instant(part), tail.grid_row, horizon_bars=1) for part in (excess, z1, z2)]
    return _Found(nominal=tail.rate, excess=tests[0], z1=tests[1], z2=tests[2], coins=coins)


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _rounded(n: int) -> int:
    """To two digits: coins with almost as many rows share a simulation."""
    step = 10 ** max(len(str(n)) - 2, 0)
    return n // step * step


def _cells(found: _Found) -> tuple[Cell, ...]:
    of = len(found.coins)
    rejected = [
        sum(1 for e, _ in found.coins.values() if e.coverage_p < LEVEL),
        sum(1 for e, _ in found.coins.values() if e.independence_p < LEVEL),
        sum(1 for e, _ in found.coins.values() if e.both_p < LEVEL),
        sum(1 for _, s in found.coins.values() if s.z2_p < LEVEL),
    ]
    kupiec, runs, both, z2 = (f"{count} of {of}" if of else None for count in rejected)
    return (
        found.nominal + found.excess.mean, found.excess.half_width, kupiec, runs, both,
        found.z1.mean, found.z1.half_width, found.z2.mean, found.z2.half_width, z2, found.excess.n_instants,
    )  # fmt: skip


def _coin_rows(at: tuple[int, str, str, float], found: _Found) -> list[tuple[Cell, ...]]:
    horizon, _, side, confidence = at
    return [
        (
            horizon, symbol, side, confidence, e.n, e.exceeded, e.n * found.nominal,
            e.coverage_p, e.independence_p, e.both_p, s.z1, s.z1_p, s.z2, s.z2_p,
        )
        for symbol, (e, s) in found.coins.items()
    ]  # fmt: skip


def _chart(case: Case, law: Law) -> Chart:
    rate, horizon = RATES[0], case.forecast.horizons[0]
    place, labels = quarters(case.panel.closed_at)
    came = case.truth.outcome
    lines: list[Series] = []
    for side, short in SIDES:
        var = value_at_risk(law, rate, short=short)
        beyond = (came if short else -came) > var
        known = np.isfinite(came) & np.isfinite(var) & (case.panel.grid_row % horizon == 0)[:, None, None]
        excess = np.where(known, beyond - rate, np.nan)[..., 0]
        tests = [
            skill_test(
                per_instant(np.where(place[:, None] == q, excess, np.nan)),
                case.panel.grid_row // horizon,
                horizon_bars=1,
            )
            for q in range(len(labels))
        ]
        lines.append(interval_series(side, tests, offset=rate))
    share = [y for line in lines for y in line.y if np.isfinite(y)]
    span = f"between {min(share):.1%} and {max(share):.1%}" if share else "nowhere"
    return Chart(
        name="exceedances_by_quarter", title=f"Losses beyond the {1.0 - rate:.0%} value at risk, by quarter",
        kind="intervals", x_label="quarter (UTC)", y_label=f"share of {bars_text(horizon)} losses beyond",
        series=tuple(lines), labels=labels, x_kind="label", y_kind="percent", reference=rate,
        reading=f"A right forecast is exceeded {rate:.0%} of the time; by quarter and side it was {span}.",
    )  # fmt: skip


def _reading(mine: list[tuple[Cell, ...]]) -> str:
    known = [row for row in mine if number(row[5]) > 0.0]
    off = [row for row in known if abs(number(row[4]) - 1.0 + number(row[3])) > number(row[5])]
    worse = [row for row in mine if number(row[12]) > 0.0 and number(row[11]) + number(row[12]) < 0.0]
    better = [row for row in mine if number(row[12]) > 0.0 and number(row[11]) - number(row[12]) > 0.0]
    frequency = (
        f"Of {len(known)} thresholds (side, level, horizon) {len(off)} were exceeded at a rate other than forecast"
        + (f", the furthest off {_tell(max(off, key=_distance))}." if off else ".")
    )
    understated = f" Risk is understated (Z2 below 0) in {len(worse)}" + (
        f": {_names(worse)}." if worse else "."
    )
    return (
        frequency + understated + (f" It is overstated in {len(better)}: {_names(better)}." if better else "")
    )


def _coin_reading(coins: tuple[tuple[Cell, ...], ...]) -> str:
    p_values = holm([number(row[9]) for row in coins])
    wrong = {str(row[1]) for row, p_value in zip(coins, p_values, strict=True) if p_value < LEVEL}
    told = f" By coin, Holm over all {len(coins)} tests of conditional coverage rejects "
    return told + (f"{listed(sorted(wrong))}." if wrong else "none.") if coins else ""


def _distance(row: tuple[Cell, ...]) -> float:
    return abs(number(row[4]) / (1.0 - number(row[3])) - 1.0)


def _tell(row: tuple[Cell, ...]) -> str:
    rate = 1.0 - number(row[3])
    return f"{_names([row])}: {number(row[4]):.2%} instead of {rate:.0%}"


def _names(rows: list[tuple[Cell, ...]]) -> str:
    return ", ".join(f"{row[2]} {number(row[3]):.0%} over {bars_text(number(row[0]))}" for row in rows)
