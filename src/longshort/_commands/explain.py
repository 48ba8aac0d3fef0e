"""`explain`: what a trained network remembers, what its units follow, and what its forecasts rest on."""

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from longshort._commands.fit import bundle_folder
from longshort._commands.terminal import emit_json, progress, say, say_table
from longshort.base.clock import SystemClock
from longshort.base.errors import StudyError
from longshort.base.files import write_text
from longshort.base.settings import Study
from longshort.models.bundle import Bundle
from longshort.models.explain.attribution import ANSWERS
from longshort.models.opponents.catalog import model_name, model_of
from longshort.study.explanation import Asked, Explanation, Memory, explain
from longshort.study.market import open_market
from longshort.study.recipe import recipe_digest
from longshort.study.run import Run
from longshort.web.explanation import pictures, render_explanation
from longshort.web.formats import p_value
from longshort.web.resting import NAMES, told
from longshort.web.words import ahead

LONGEST, SHORTEST, INPUTS = 8, 3, 8  # rows of the tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for: a coin (empty: the first), how many of the latest bars, and in which form."""

    coin: str = ""
    bars: int = 168
    pictures: Path | None = None
    as_json: bool = False
    opened: bool = False


def explain_study(study: Study, wish: Wish) -> None:
    """Print the tables or JSON, and write the page and every gate of every bar."""
    if model_of(study) is not None:
        raise StudyError(
            f"{model_name(study)} is no network: it has neither gates nor inputs to explain.",
            remedy='Train one with [model] kind = "lstm".',
        )
    bundle = Bundle.load(bundle_folder(study))
    with progress() as report:
        market = open_market(study, report)
    bundle.check(study, market.bars.symbols, study.features.names or bundle.names, recipe_digest(study))
    with progress() as report:
        asked = Asked(symbol=wish.coin, bars=wish.bars)
        found = explain(study, bundle.fitted, market.panel, asked, report)
    run = Run(market, "explain")
    title = f"Explanation: {found.symbol}, {found.interval} bars"
    page = run.write_page(
        "explanation.html", render_explanation(found, title=title, created_at=SystemClock().now())
    )
    gates = run.write_table("gates", found.gates()) if found.memory is not None else None
    for name, drawing in (pictures(found) if wish.pictures else {}).items():
        write_text((wish.pictures or Path()) / f"explain-{name}.svg", drawing)
    if wish.as_json:
        emit_json(summary(found) | {"page": str(page), "gates": str(gates) if gates else None})
    else:
        _tell(found, page, gates)
    if wish.opened:
        webbrowser.open(page.resolve().as_uri())


def summary(found: Explanation) -> dict[str, Any]:
    """What `explain --json` prints: every unit, every input by both methods, every lag, and the tests."""
    memory = found.memory
    return {
        "model": found.model,
        "coin": found.symbol,
        "horizon_bars": found.horizon_bars,
        "bars": len(found.closed_at),
        "memory": None if memory is None else _memory(memory),
        "refusal": found.refusal or None,
        "forecasts": found.cells,
        "answers": {ANSWERS[k]: _answer(found, k) for k in told(found)},
    }


def _memory(memory: Memory) -> dict[str, Any]:
    units = [
        {
            "unit": u.name,
            "half_life_bars": u.half_life_bars,
            "gates": {"forget": u.forget, "input": u.input, "output": u.output},
            "follows": u.follows,
            "tracks": u.tracks or None,
        }
        for u in memory.units
    ]
    return {"seed": memory.seed, "units": units, "chance": memory.bound, "largest_difference": memory.gap}


def _answer(found: Explanation, k: int) -> dict[str, Any]:
    attribution, test = found.attribution, found.tests[k]
    own, other = attribution.by_input(k), attribution.by_input(k, gradient=True)
    both = attribution.by_both(k)
    return {
        "inputs": [
            {
                "name": found.inputs[place],
                "share": own[place],
                "gradient_x_input": other[place],
                "by_lag": both[::-1, place],
            }
            for place in np.argsort(-own).tolist()
        ],
        "lags": attribution.by_lag(k)[::-1],
        "unexplained": attribution.gap[k],
        "older": attribution.older[k],
        "deletion": {
            "taken": test.taken,
            "curve": test.curve,
            "area": test.area,
            "random_area": test.random_area,
            "p_value": test.p_value,
        },
    }


def _tell(found: Explanation, page: Path, gates: Path | None) -> None:
    if found.memory is None:
        say(found.refusal)
    else:
        _tell_memory(found.memory)
    _tell_inputs(found)
    say(f"Page: {page}")
    if gates is not None:
        say(f"Every gate, cell and hidden state of {found.symbol} per bar and unit: {gates}")


def _tell_memory(memory: Memory) -> None:
    names = list(memory.bound)
    units = memory.units
    shown = units if len(units) <= LONGEST + SHORTEST + 1 else (*units[:LONGEST], None, *units[-SHORTEST:])
    rows = [
        ["..."] + [""] * (len(names) + 5)
        if u is None
        else [
            u.name,
            f"{u.half_life_bars:.1f}",
            *[f"{gate:.2f}" for gate in (u.forget, u.input, u.output)],
            *[f"{u.follows[name]:.3f}" if name == "hour" else f"{u.follows[name]:+.2f}" for name in names],
            u.tracks,
        ]
        for u in shown
    ]
    heads = ["unit", ">half-life, bars", ">forget", ">input", ">output"]
    says = [f">{name}, R2" if name == "hour" else f">{name}, correlation" for name in names]
    say_table(f"Memory of seed {memory.seed}, the longest first", [*heads, *says, "follows"], rows)
    bounds = ", ".join(f"{name} {bound:.3f}" for name, bound in memory.bound.items())
    say(f"By chance the best of {len(units)} units reaches: {bounds} (95 %, for all together).")
    say(f"The recomputed hidden states are the network's own within {memory.gap:.0e}.")


def _tell_inputs(found: Explanation) -> None:
    answers = told(found)
    order = [np.argsort(-found.attribution.by_input(k))[:INPUTS] for k in answers]
    rows: list[list[str]] = []
    for rank in range(min(INPUTS, len(found.inputs))):
        cells: list[str] = []
        for k, first in zip(answers, order, strict=True):
            place = int(first[rank])
            shares = [found.attribution.by_input(k, gradient=g)[place] for g in (False, True)]
            cells += [found.inputs[place], *[f"{share:.1%}" for share in shares]]
        rows.append(cells)
    heads = [head for k in answers for head in (NAMES[ANSWERS[k]], ">share", ">gradient x input")]
    say_table(f"What the forecast {ahead(found.horizon_bars)} rests on, {found.cells} forecasts", heads, rows)
    for k in answers:
        test, gap = found.tests[k], found.attribution.gap[k]
        say(
            f"Taking inputs away, the most important first, moves {NAMES[ANSWERS[k]]} by {test.area:.2f} on average; "
            f"random orders by {test.random_area:.2f} ({p_value(test.p_value)}). Unexplained: {gap:.2%}."
        )
