"""Do the intervals keep their promise: coverage and width, as forecast and adapted, over time and by volatility."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64, Int64

from longshort.models.calibration.adaptation import ACI, PID, Rule
from longshort.models.calibration.conformal import Band, Intervals, calibrate
from longshort.models.calibration.split_conformal import Static
from longshort.study.case import Case
from longshort.study.evidence.calendar import quarters
from longshort.study.evidence.gains import bars_text
from longshort.study.metrics import mean_loss, per_instant, winkler
from longshort.study.section import Cell, Chart, Column, Section, Series, Table

KEY, TITLE = "coverage", "Do the intervals keep their promise?"
LEVELS = (0.9, 0.5, 0.8, 0.95)  # the first is told in full
LEAST_ROWS = 200
WINDOW_ROWS = 500
POINTS = 240
FULL_QUARTER_DAYS = 88
FIFTHS = ("calmest fifth", "2nd fifth", "3rd fifth", "4th fifth", "wildest fifth")
OWN, ADAPTED = "as forecast", "conformal PID"
RULES: Mapping[str, Rule] = MappingProxyType({"static conformal": Static(), "ACI": ACI(), ADAPTED: PID()})
PerCoin = Float64[np.ndarray, "time asset"]
Codes = Int64[np.ndarray, " time"]

TOTAL_COLUMNS = (
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="interval"),
    Column(name="coverage", kind="percent", digits=1, meaning="of the outcomes lay inside; 90 % is promised"),
    Column(name="width", kind="number", unit="bp", digits=0),
    Column(name="Winkler", kind="signed", unit="%", digits=2, meaning="of the interval as forecast; less is better"),
    Column(name="lowest quarter", kind="percent", digits=1, meaning="of the quarters that were tested in full"),
    Column(name="highest quarter", kind="percent", digits=1),
    Column(name="lowest fifth", kind="percent", digits=1, meaning="of instants by the coins' volatility, known then"),
    Column(name="highest fifth", kind="percent", digits=1),
    Column(name="at its clip", kind="percent", digits=2, meaning="of the rows: the width would have left its limits"),
    Column(name="narrowest", kind="number", unit="x", digits=2, meaning="multiple of the width as forecast"),
    Column(name="widest", kind="number", unit="x", digits=2),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One way to make intervals, over the tested rows: inside or not, width and Winkler score at the first level."""

    name: str
    intervals: Intervals
    inside: Float64[np.ndarray, "level time asset horizon"]
    width: Float64[np.ndarray, "time asset horizon"]
    score: Float64[np.ndarray, "time asset horizon"]


def section(case: Case) -> Section:
    """The model's intervals as they are, and by three ways to adapt them to what came, on the same rows."""
    came = case.truth.outcome
    scored = int(np.isfinite(came).any(axis=(1, 2)).sum())
    if not case.forecast.dense or scored < LEAST_ROWS:
        why = (
            "The model states no distribution." if scored >= LEAST_ROWS else f"Only {scored} rows are scored."
        )
        return Section(key=KEY, title=TITLE, reading="", missing=why)
    band = Band.of(case.forecast.law, LEVELS)
    adapted = {
        name: calibrate(rule, band, came, horizons=case.forecast.horizons) for name, rule in RULES.items()
    }
    told = [_told(name, found, came) for name, found in {OWN: band.intervals(), **adapted}.items()]
    return Section(
        key=KEY,
        title=TITLE,
        reading=_reading(case, told),
        tables=(
            _total(case, told),
            _by(case, told, "quarter"),
            _by(case, told, "fifth"),
            _levels(case, told),
        ),
        charts=tuple(_chart(case, told, k) for k in range(len(case.forecast.horizons))),
        notes=(NOTE,),
    )


NOTE = (
    "All start as forecast and learn only from outcomes known at each close. Static conformal is fixed by the first "
    "720 rows; ACI moves one level per horizon for all coins (step .001); conformal PID tracks the logarithm of the "
    "width and pays back what coverage owes. Coverage bought with width is no gain: the Winkler score weighs both."
)


def _told(name: str, found: Intervals, came: Float64[np.ndarray, "time asset horizon"]) -> Told:
    known = ~np.isnan(came) & ~np.isnan(found.low)
    inside = np.where(known, (came >= found.low) & (came <= found.high), np.nan)
    score = np.where(known[0], winkler(came, found.low[0], found.high[0], LEVELS[0]), np.nan)
    width = np.where(known[0], found.high[0] - found.low[0], np.nan)
    return Told(name=name, intervals=found, inside=inside, width=width, score=score)


def _total(case: Case, told: list[Told]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for k, horizon in enumerate(case.forecast.horizons):
        own = mean_loss(told[0].score[..., k])
        for one in told:
            shares = [
                [mean_loss(one.inside[0, at, :, k]) for at in _groups(case, kind).values()]
                for kind in ("full", "fifth")
            ]
            multiple = one.intervals.multiple[0, :, k]
            rows.append((
                horizon, one.name, mean_loss(one.inside[0, ..., k]), 1e4 * mean_loss(one.width[..., k]),
                100.0 * (mean_loss(one.score[..., k]) / own - 1.0), *_ends(shares[0]), *_ends(shares[1]),
                float(one.intervals.at_clip[0, :, k].mean()), float(multiple.min()), float(multiple.max()),
            ))  # fmt: skip
    return Table(
        name="coverage", title="The 90 % interval in all", columns=TOTAL_COLUMNS, rows=tuple(rows),
        note="Means over coins at each instant, then over time. A quarter counts here if all of it was tested.",
    )  # fmt: skip


def _by(case: Case, told: list[Told], kind: str) -> Table:
    names = [
        column
        for one in told
        for column in (
            Column(name=one.name, kind="percent", digits=1),
            Column(name=f"{one.name}, width", kind="number", unit="bp", digits=0),
        )
    ]
    rows = tuple(
        (horizon, name, *[number for one in told for number in _pair(one, at, k)])
        for k, horizon in enumerate(case.forecast.horizons)
        for name, at in _groups(case, kind).items()
    )
    what = {"quarter": "calendar quarter", "fifth": "volatility known at the time"}[kind]
    first = (Column(name="horizon", kind="count", unit="bars"), Column(name="when"))
    title = f"Coverage and width of the 90 % interval by {what}"
    return Table(name=f"coverage_by_{kind}", title=title, columns=(*first, *names), rows=rows)


def _levels(case: Case, told: list[Told]) -> Table:
    order = np.argsort(LEVELS)
    rows = tuple(
        (horizon, one.name, *[mean_loss(one.inside[n, ..., k]) for n in order])
        for k, horizon in enumerate(case.forecast.horizons)
        for one in told
    )
    columns = (
        Column(name="horizon", kind="count", unit="bars"),
        Column(name="interval"),
        *[Column(name=f"{LEVELS[n]:.0%}", kind="percent", digits=1) for n in order],
    )
    return Table(
        name="coverage_by_level", title="Coverage of the intervals of four levels", columns=columns, rows=rows
    )


def _pair(one: Told, at: Codes, k: int) -> tuple[float, float]:
    return mean_loss(one.inside[0, at, :, k]), 1e4 * mean_loss(one.width[at, :, k])


def _groups(case: Case, kind: str) -> dict[str, Codes]:
    """Rows by name: quarters, those that were tested in full, or fifths of instants by mean volatility."""
    if kind == "fifth":
        level = per_instant(np.where(np.isfinite(case.panel.volatility), case.panel.volatility, np.nan))
        cuts = np.nanquantile(level, (0.2, 0.4, 0.6, 0.8))
        place = np.where(np.isnan(level), -1, np.searchsorted(cuts, level))
        return {name: np.flatnonzero(place == n) for n, name in enumerate(FIFTHS)}
    closed_at = case.panel.closed_at
    place, names = quarters(closed_at - 1)  # a bar that closes with a quarter belongs to it
    found = {name: np.flatnonzero(place == n) for n, name in enumerate(names)}
    days = {name: (closed_at[at[-1]] - closed_at[at[0]]) / 86_400e9 for name, at in found.items()}
    return {name: at for name, at in found.items() if kind == "quarter" or days[name] >= FULL_QUARTER_DAYS}


def _ends(shares: list[float]) -> tuple[Cell, Cell]:
    known = [share for share in shares if isfinite(share)]
    return (min(known), max(known)) if known else (None, None)


def _chart(case: Case, told: list[Told], k: int) -> Chart:
    horizon, closed_at = case.forecast.horizons[k], case.panel.closed_at
    window = max(min(WINDOW_ROWS, len(closed_at) // 5), 1)
    rolled = {one.name: _rolling(per_instant(one.inside[0, ..., k]), window) for one in told}
    at = np.linspace(window - 1, len(closed_at) - 1, min(POINTS, len(closed_at) - window + 1)).astype(
        np.int64
    )
    x = tuple(closed_at[at].astype(float).tolist())
    series = tuple(Series(name=name, x=x, y=tuple(line[at].tolist())) for name, line in rolled.items())
    worst = {name: float(np.nanmin(line[at])) for name, line in rolled.items()}
    return Chart(
        name=f"rolling_coverage_{horizon}",
        title=f"Coverage of the last {window} bars, {bars_text(horizon)} ahead",
        kind="lines",
        x_label="UTC",
        y_label="coverage",
        series=series,
        reading=f"At its worst the interval as forecast covered {worst[OWN]:.1%} of {window} bars, the one adapted by "
        f"{ADAPTED} {worst[ADAPTED]:.1%}.",
        x_kind="instant",
        y_kind="percent",
        reference=LEVELS[0],
        band=(0.88, 0.92),
    )


def _rolling(value: Float64[np.ndarray, " time"], window: int) -> Float64[np.ndarray, " time"]:
    known = ~np.isnan(value)
    total, count = (np.cumsum(np.concatenate([[0.0], part])) for part in (np.where(known, value, 0.0), known))
    first = np.maximum(np.arange(len(value)) + 1 - window, 0)
    seen = count[1:] - count[first]
    return np.where(seen > 0, (total[1:] - total[first]) / np.maximum(seen, 1), np.nan)


def _reading(case: Case, told: list[Told]) -> str:
    """Coverage and its price, per horizon, as forecast and adapted."""
    own, pid = told[0], told[-1]
    parts = [
        f"{bars_text(horizon)} ahead {mean_loss(own.inside[0, ..., k]):.1%} "
        f"({mean_loss(pid.inside[0, ..., k]):.1%} adapted, {_wider(own, pid, k)})"
        for k, horizon in enumerate(case.forecast.horizons)
    ]
    clipped = float(pid.intervals.at_clip[0].mean())
    limits = (
        "Widths never stood at their limits."
        if not clipped
        else f"Widths stood at their limits in {clipped:.2%}."
    )
    return (
        f"Of the outcomes 90 % should lie inside the 90 % interval. There were: {'; '.join(parts)}. {limits}"
    )


def _wider(own: Told, pid: Told, k: int) -> str:
    wider = mean_loss(pid.width[..., k]) / mean_loss(own.width[..., k]) - 1.0
    score = mean_loss(pid.score[..., k]) / mean_loss(own.score[..., k]) - 1.0
    return f"{abs(wider):.1%} {'wider' if wider >= 0 else 'narrower'}, Winkler score {score:+.2%}"
