"""The page of `longshort explain`: what the network remembers, what its units follow, what its forecasts rest on."""

import numpy as np

from longshort.base.clock import format_instant
from longshort.models.explain.attribution import ANSWERS
from longshort.study.explanation import Explanation, Memory, Unit
from longshort.study.section import Cell, Chart, Column, Series, Table
from longshort.web.facts import Fact
from longshort.web.formats import fixed, percent, significant
from longshort.web.heat import LEVELS, Heat, heat
from longshort.web.pages import drawn, render
from longshort.web.plots import plot
from longshort.web.resting import (
    NAMES,
    Values,
    chart_picture,
    over_time,
    resting_charts,
    resting_topics,
    told,
    topic,
)
from longshort.web.scales import time_ticks
from longshort.web.sections import Picture, Topic
from longshort.web.svg import NAMESPACE, el, tooltip
from longshort.web.words import ahead

BARS_KEPT = (1, 2, 4, 8, 16, 32, 64)  # half-lives, in bars, between the colors of a forget gate


def render_explanation(found: Explanation, *, title: str, created_at: int) -> str:
    """One self-contained HTML page."""
    return render(
        "explanation.html",
        title=title,
        created_at=created_at,
        versions={},
        headline=f"What {found.model} remembers, and what its forecast {ahead(found.horizon_bars)} rests on",
        facts=page_facts(found),
        topics=[*memory_topics(found), *resting_topics(found)],
    )


def standalone(drawing: str, title: str) -> str:
    """A drawing as a file of its own, with its style for light and dark."""
    head = tooltip(title) + f"<style>{render('picture.css')}</style>"
    paper = el("rect", width="100%", height="100%", rx=12, class_="paper")
    return drawing.replace("<svg ", f'<svg xmlns="{NAMESPACE}" ', 1).replace(">", f">{head}{paper}", 1)


def pictures(found: Explanation, width: int = 600) -> dict[str, str]:
    """Drawings for a document, by name: gates, half-lives, one unit's gates, what it follows, inputs, lags."""
    charts: dict[str, Chart] = {}
    if found.memory is not None:
        charts |= {"half-life": half_lives(found.memory), "unit": unit_gates(found, found.memory)}
        charts |= {f"follows-{k}": chart for k, chart in enumerate(following(found, found.memory))}
    charts |= resting_charts(found)
    made = {name: standalone(plot(chart, width), chart.title) for name, chart in charts.items()}
    if found.memory is not None:
        gates = forget_map(found, found.memory)
        made["forget"] = standalone(heat(gates, width), gates.title)
    return made


def page_facts(found: Explanation) -> list[Fact]:
    """The first screen."""
    rests = [_most(found, k) for k in told(found)]
    memory = found.memory
    if memory is None:
        return rests
    lives = [unit.half_life_bars for unit in memory.units]
    follow = sum(bool(unit.tracks) for unit in memory.units)
    return [
        Fact(
            label="Half of a memory is gone in",
            figure=_bars(float(np.median(lives))),
            beside=(f"the median of {len(lives)} units; the longest: {_bars(lives[0])}",),
        ),
        Fact(
            label="Units that follow something",
            figure=f"{follow} of {len(lives)}",
            beside=("volatility, the last day's move or the hour, beyond chance",),
        ),
        *rests,
    ]


def _most(found: Explanation, answer: int) -> Fact:
    share = found.attribution.by_input(answer)
    return Fact(
        label=f"What counts most for {NAMES[ANSWERS[answer]]}",
        figure=found.inputs[int(share.argmax())],
        beside=(f"{percent(float(share.max()), 1)} of what {len(found.inputs)} inputs add",),
    )


def memory_topics(found: Explanation) -> list[Topic]:
    """What is kept and what it follows, or why that cannot be told."""
    memory = found.memory
    if memory is None:
        return [topic("gates", "Gates", found.refusal)]
    gates = forget_map(found, memory)
    forget = Picture(
        title=gates.title,
        drawing=drawn(lambda width: heat(gates, width)),
        reading="A row is a unit, the longest memory on top. A stripe through many rows is a moment at which the "
        "network drops what it held.",
    )
    exact = f"The recomputed hidden states differ from the network's own by at most {memory.gap:.0e}."
    return [
        topic(
            "gates",
            "What it keeps",
            f"Forget gates of seed {memory.seed} for {found.symbol}, over {len(found.closed_at)} bars.",
            [forget, chart_picture(half_lives(memory)), chart_picture(unit_gates(found, memory))],
            notes=(
                exact,
                "A half-life tells how long a unit holds what it has, whatever is written meanwhile.",
            ),
        ),
        topic(
            "follows",
            "What its units follow",
            _following_words(memory),
            [chart_picture(chart) for chart in following(found, memory)],
            tables=[unit_table(memory)],
        ),
    ]


def forget_map(found: Explanation, memory: Memory) -> Heat:
    """The forget gate of every unit at every bar shown, with the price above."""
    gates = np.stack([memory.series("forget_gate", unit) for unit in memory.units])
    edges = np.array([0.5 ** (1 / bars) for bars in BARS_KEPT])
    at = found.closed_at
    ticks = time_ticks(int(at[0]), int(at[-1]), 6)
    return Heat(
        title=f"Forget gates of {len(memory.units)} units, {found.symbol}",
        levels=np.searchsorted(edges, gates).astype(np.int64),
        legend=tuple(_between(BARS_KEPT, k) for k in range(LEVELS)),
        legend_title="half is forgotten in so many bars, if the gate stays as it is",
        rows_title="units, the longest memory on top",
        columns_title=f"{format_instant(int(at[0]))} to {format_instant(int(at[-1]))}",
        names=(),
        says=tuple(_unit_words(unit) for unit in memory.units),
        marks=tuple((float(np.searchsorted(at, instant)) + 0.5, label) for instant, label in ticks),
        line=np.log(found.close),
        line_title=f"log price of {found.symbol}",
        row_height=max(4.0, min(12.0, 420.0 / len(memory.units))),
    )


def half_lives(memory: Memory) -> Chart:
    """How long each unit remembers, by what it follows."""
    kinds = [*memory.bound, ""]
    series: list[Series] = []
    for kind in kinds:
        rank = [k for k, unit in enumerate(memory.units) if unit.tracks == kind]
        y = tuple(memory.units[k].half_life_bars for k in rank)
        series.append(
            Series(name=f"follows {kind}" if kind else "none of these", x=tuple(map(float, rank)), y=y)
        )
    return Chart(
        name="half-life",
        title="How long each unit remembers",
        kind="dots",
        x_label="units, the longest memory first",
        y_label="half-life, bars",
        series=tuple(series),
        reading="ln .5 over the mean logarithm of the forget gate. Most units forget within hours: what lasts longer "
        "than a unit holds must be among the inputs.",
    )


def unit_gates(found: Explanation, memory: Memory) -> Chart:
    """The three gates of the unit with the longest memory, bar by bar."""
    unit = memory.units[0]
    names = {"forget": "forget_gate", "input": "input_gate", "output": "output_gate"}
    return Chart(
        name="unit",
        title=f"The gates of unit {unit.name}, which remembers longest",
        kind="lines",
        x_label="",
        y_label="gate, 0 shut to 1 open",
        series=tuple(
            over_time(found.closed_at, name, memory.series(part, unit)) for name, part in names.items()
        ),
        reading="Forget: the share of the cell that stays. Input: how much of the new candidate is written. "
        "Output: how much of the cell is shown to the rest of the network.",
        x_kind="instant",
    )


def following(found: Explanation, memory: Memory) -> list[Chart]:
    """The cell of the unit that follows volatility most closely, beside it."""
    units = [unit for unit in memory.units if unit.tracks == "volatility"]
    if not units:
        return []
    unit = max(units, key=lambda one: abs(one.follows["volatility"]))
    sign = np.sign(unit.follows["volatility"])
    cell, volatility = memory.series("cell", unit), memory.log_volatility
    turned = "upside down, " if sign < 0 else ""
    return [
        Chart(
            name="volatility",
            title=f"Unit {unit.name} follows volatility",
            kind="lines",
            x_label="",
            y_label="standard deviations from its mean",
            series=(
                over_time(found.closed_at, f"cell of {unit.name}", _standardised(sign * cell)),
                over_time(found.closed_at, "log volatility", _standardised(volatility)),
            ),
            reading=f"The cell is drawn {turned}with its own scale. Over {memory.tracked_rows:,} bars and all coins "
            f"their correlation is {fixed(unit.follows['volatility'], sign=True)}; by chance the best of "
            f"{len(memory.units)} units reaches {fixed(memory.bound['volatility'])}.",
            x_kind="instant",
        )
    ]


def unit_table(memory: Memory) -> Table:
    """Every unit: how long it remembers, its gates, and how closely it follows what."""
    heads = [
        Column(name="unit"),
        Column(name="half-life", kind="number", unit="bars", digits=1),
        *[Column(name=f"mean {gate} gate", kind="number") for gate in ("forget", "input", "output")],
        *[
            Column(
                name=name,
                kind="number" if name == "hour" else "signed",
                unit="R²" if name == "hour" else "correlation",
                digits=3 if name == "hour" else 2,
                meaning=f"by chance the best unit reaches {bound:.3f}",
            )
            for name, bound in memory.bound.items()
        ],
        Column(name="follows", meaning="what is beyond chance over all units and targets together, p < .05"),
    ]
    rows: list[tuple[Cell, ...]] = [
        (
            u.name,
            u.half_life_bars,
            u.forget,
            u.input,
            u.output,
            *u.follows.values(),
            u.tracks or "none of these",
        )
        for u in memory.units
    ]
    bounds = ", ".join(f"{name} {bound:.3f}" for name, bound in memory.bound.items())
    return Table(
        name="units",
        title="Every unit",
        columns=tuple(heads),
        rows=tuple(rows),
        note=f"By chance the best unit reaches: {bounds} (95 %, for all targets together; rotated in time, the hour "
        "by turning each day's clock). A correlation is no cause.",
    )


def _between(edges: tuple[int, ...], k: int) -> str:
    """What a color of the forget map means.

    >>> _between((1, 2), 0), _between((1, 2), 1), _between((1, 2), 2)
    ('<1', '1-2', '2+')
    """
    if k == 0:
        return f"<{edges[0]}"
    return f"{edges[k - 1]}-{edges[k]}" if k < len(edges) else f"{edges[-1]}+"


def _unit_words(unit: Unit) -> str:
    follows = f", follows {unit.tracks}" if unit.tracks else ""
    return f"unit {unit.name}: half-life {_bars(unit.half_life_bars)}{follows}"


def _following_words(memory: Memory) -> str:
    counts = {name: sum(unit.tracks == name for unit in memory.units) for name in memory.bound}
    listed = ", ".join(f"{count} follow {name}" for name, count in counts.items())
    return f"Of {len(memory.units)} units, over {memory.tracked_rows:,} bars and all coins: {listed}."


def _bars(value: float) -> str:
    return f"{significant(value, 2)} bars" if np.isfinite(value) else "no end"


def _standardised(values: Values) -> Values:
    return (values - np.nanmean(values)) / (np.nanstd(values) + 1e-12)
