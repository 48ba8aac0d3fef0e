"""How far each forecaster is from the truth, on the embedded market, whose law is known."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from longshort.data.market import simulation_of
from longshort.study.case import Case
from longshort.study.metrics import per_instant
from longshort.study.section import Column, Section, Table
from longshort.study.verdict import compare

KEY, TITLE = "oracle", "How far from the truth"
COLUMNS = (
    Column(name="forecaster"),
    Column(name="behind the truth", kind="signed", unit="nats", digits=4),
    Column(name="low", kind="signed", unit="nats", digits=4),
    Column(name="high", kind="signed", unit="nats", digits=4),
    Column(name="instants", kind="count"),
)


def section(case: Case) -> Section:
    """The log score, one bar ahead, of the law that the returns were drawn from, less that of each forecaster."""
    gaps = behind(case)
    if not gaps:
        return Section(key=KEY, title=TITLE, reading="", missing="No forecast looks one bar ahead.")
    grid_row = case.market.bars.grid_row[case.walk.tested.start : case.walk.tested.stop]
    rows: list[tuple[str, float, float, float, int]] = []
    for name, gap in gaps.items():
        found = compare(
            "log_score",
            name,
            horizon_bars=1,
            model_loss=np.zeros_like(gap),
            opponent_loss=gap,
            grid_row=grid_row,
        )
        rows.append((name, found.skill, *found.ci95, found.n_instants))
    rows.sort(key=lambda row: row[1])
    own = next(row[1] for row in rows if row[0] == case.model)
    said = f"Nobody could know more than the law of the simulation. {case.model} is {own:.4f} nats behind it"
    near = rows[0]
    beside = ", nearest of all" if near[0] == case.model else f"; {near[0]} is nearest, with {near[1]:.4f}"
    table = Table(
        name="truth", title="Log score behind the truth, 1 bar ahead", columns=COLUMNS, rows=tuple(rows)
    )
    return Section(key=KEY, title=TITLE, reading=f"{said}{beside}.", tables=(table,))


def behind(case: Case) -> dict[str, Float64[np.ndarray, "time asset"]]:
    """The log density of what came under the true law less that under each forecaster's, (time asset); by name."""
    if 1 not in case.market.targets.horizons:
        return {}
    k = case.market.targets.horizons.index(1)
    bars, rows = case.market.bars, case.walk.tested
    simulation = simulation_of(case.market.study.data)
    coins = [simulation.bars.symbols.index(symbol) for symbol in bars.symbols]
    at = np.searchsorted(simulation.bars.closed_at, bars.closed_at[rows.start : rows.stop])
    law = simulation.truth
    truth = replace(law, mean=law.mean[at][:, coins], scale=law.scale[at][:, coins])
    mine = truth.log_density(case.truth.outcome[:, :, k])
    return {
        name: mine + losses["log_score"][:, :, k]
        for name, losses in case.losses.items()
        if np.isfinite(per_instant(losses["log_score"][:, :, k])).any()
    }
