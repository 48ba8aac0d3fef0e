"""The bars at which the model did worst beside its opponent, with what was known and what came."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from longshort.models.forecast import Values
from longshort.study.case import Case
from longshort.study.evidence.calendar import hours
from longshort.study.section import Cell, Column, Table

SHOWN = 20
CANDIDATES = 5_000  # so many of the worst cells are looked through for rows that do not overlap
Places = Int64[np.ndarray, " cell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """What stands beside each cell: both intervals' ends, the loss beside the opponent's, volatility's rank."""

    low: Values
    high: Values
    rival_low: Values
    rival_high: Values
    behind: Values
    calm: Float64[np.ndarray, "time asset"]
    hour: Int64[np.ndarray, " time"]


def worst_bars(case: Case, rival: str) -> Table:
    """The rows with the largest log score beyond the opponent's; of overlapping ones only the worst.

    Laws without a density are measured by CRPS, in bp.
    """
    behind, unit = _behind(case, rival)
    mine, theirs = case.forecast.law, case.walk.forecasts[rival].law
    context = _Context(
        low=mine.quantile(0.05), high=mine.quantile(0.95), rival_low=theirs.quantile(0.05),
        rival_high=theirs.quantile(0.95), behind=behind, calm=percentile(case.panel.volatility),
        hour=hours(case.panel.closed_at)[0],
    )  # fmt: skip
    rows = tuple(_row(case, context, cell) for cell in _chosen(case, behind))
    return Table(
        name="worst_bars",
        title=f"The {len(rows)} worst bars",
        columns=_columns(rival, unit),
        rows=rows,
        note="Chosen with hindsight: every forecaster has such bars. Look for what they have in common.",
    )


def percentile(value: Float64[np.ndarray, "time asset"]) -> Float64[np.ndarray, "time asset"]:
    """The share of a column's known values that are at most as large, per column.

    >>> percentile(np.array([[3.0], [1.0], [np.nan], [2.0]])).ravel().round(2).tolist()
    [1.0, 0.33, nan, 0.67]
    """
    ranks = np.full(value.shape, np.nan)
    for a in range(value.shape[1]):
        known = np.isfinite(value[:, a])
        ordered = np.sort(value[known, a])
        ranks[known, a] = np.searchsorted(ordered, value[known, a], side="right") / max(len(ordered), 1)
    return ranks


def _behind(case: Case, rival: str) -> tuple[Values, str]:
    mine, theirs = case.losses[case.model], case.losses[rival]
    nats = mine["log_score"] - theirs["log_score"]
    if np.isfinite(nats).any():
        return nats, "nats"
    return 1e4 * (mine["crps"] - theirs["crps"]), "bp"


def _chosen(case: Case, behind: Values) -> list[tuple[int, int, int]]:
    cost = np.where(np.isfinite(behind), behind, -np.inf).ravel()
    first = np.argsort(-cost, kind="stable")[:CANDIDATES]
    chosen: list[tuple[int, int, int]] = []
    for place in first[cost[first] > 0.0].tolist():
        t, a, k = (int(i) for i in np.unravel_index(place, behind.shape))
        near = case.forecast.horizons[k]
        if all((a, k) != (b, m) or abs(t - s) >= near for s, b, m in chosen):
            chosen.append((t, a, k))
        if len(chosen) == SHOWN:
            break
    return chosen


def _columns(rival: str, unit: str) -> tuple[Column, ...]:
    return (
        Column(name="coin"),
        Column(name="close", kind="instant"),
        Column(name="horizon", kind="count", unit="bars"),
        Column(name="low", kind="signed percent", digits=2, meaning="the model's 5 % quantile"),
        Column(name="high", kind="signed percent", digits=2, meaning="its 95 % quantile"),
        Column(name="came", kind="signed percent", digits=2, meaning="log return"),
        Column(name="loss", kind="signed", unit=unit, digits=2, meaning=f"beyond that of {rival}"),
        Column(name="rival low", kind="signed percent", digits=2, meaning=f"5 % quantile of {rival}"),
        Column(name="rival high", kind="signed percent", digits=2, meaning=f"95 % quantile of {rival}"),
        Column(name="volatility", kind="percent", digits=0, meaning="rank among the coin's tested bars"),
        Column(name="hour", kind="count", meaning="UTC"),
    )


def _row(case: Case, context: _Context, cell: tuple[int, int, int]) -> tuple[Cell, ...]:
    t, a, k = cell
    return (
        case.forecast.symbols[a],
        int(case.panel.closed_at[t]),
        case.forecast.horizons[k],
        float(context.low[cell]),
        float(context.high[cell]),
        float(case.truth.outcome[cell]),
        float(context.behind[cell]),
        float(context.rival_low[cell]),
        float(context.rival_high[cell]),
        float(context.calm[t, a]),
        int(context.hour[t]),
    )
