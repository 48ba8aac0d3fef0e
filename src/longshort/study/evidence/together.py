"""All forecasters at once: who may be the best, and whether any opponent is better than the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from jaxtyping import Float64

from longshort.models.forecast import Values
from longshort.study.metrics import per_instant
from longshort.study.section import Cell, Column, Table
from longshort.study.statistics.many import ConfidenceSet, Superiority, against, confidence_set

PerInstant = Float64[np.ndarray, " time"]

EVERYWHERE = 0.9  # of the model's instants: who speaks at fewer is compared apart
ALL, COMMON = "all instants", "instants that all score"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The forecasters that are scored at the same instants of one horizon, the model first.

    `excess` is by how much each one's mean CRPS is above the smallest, as a fraction. `seldom` names those who speak
    at few instants, and for whom the others were looked at on these alone.
    """

    horizon_bars: int
    names: tuple[str, ...]
    excess: tuple[float, ...]
    spa: Superiority
    crps: ConfidenceSet
    log_score: ConfidenceSet | None
    seldom: tuple[str, ...] = ()

    @property
    def may_be_best(self) -> tuple[str, ...]:
        """Who is in the confidence set on CRPS."""
        return tuple(n for n, inside in zip(self.names, self.crps.included, strict=True) if inside)

    @property
    def better(self) -> tuple[str, ...]:
        """Who is proved better than the model."""
        return tuple(self.names[1 + k] for k in self.spa.better)


def fields_at(
    losses: Mapping[str, Mapping[str, Values]], model: str, horizon_bars: int, at: int
) -> list[Field]:
    """Those who speak everywhere; then, where some speak seldom, everybody on the rows that all score."""
    rows = {
        name: {metric: per_instant(loss[metric][..., at]) for metric in ("crps", "log_score")}
        for name, loss in {model: losses[model], **losses}.items()
    }
    scored = {name: int(np.isfinite(row["crps"]).sum()) for name, row in rows.items()}
    speaking = [name for name in rows if scored[name]]
    seldom = tuple(name for name in speaking if scored[name] < EVERYWHERE * scored[model])
    steady = [name for name in speaking if name not in seldom]
    groups = [(steady, ()), (speaking, seldom)] if seldom else [(steady, ())]
    return [_field(rows, names, few, horizon_bars) for names, few in groups if len(names) > 1]


def tables(fields: Sequence[Field]) -> tuple[Table, ...]:
    """The confidence sets and the tests of superiority; none where there are no fields."""
    return (_members(fields), _tests(fields)) if fields else ()


def _field(
    rows: Mapping[str, Mapping[str, PerInstant]], names: list[str], seldom: tuple[str, ...], horizon_bars: int
) -> Field:
    crps, log_score = (
        np.column_stack([rows[name][metric] for name in names]) for metric in ("crps", "log_score")
    )
    common = crps[np.isfinite(crps).all(axis=1)]
    mean = common.mean(axis=0) if len(common) else np.full(len(names), nan)
    stated = bool(np.isfinite(log_score).any(axis=0).all())
    return Field(
        horizon_bars=horizon_bars,
        names=tuple(names),
        excess=tuple((mean / mean.min() - 1.0).tolist()),
        spa=against(crps[:, 0], crps[:, 1:]),
        crps=confidence_set(crps),
        log_score=confidence_set(log_score) if stated else None,
        seldom=seldom,
    )


def _members(fields: Sequence[Field]) -> Table:
    columns = (
        Column(name="bars ahead", kind="count"),
        Column(name="on"),
        Column(name="forecaster"),
        Column(name="behind the best", kind="percent", digits=2, meaning="mean CRPS above the smallest one"),
        Column(name="p on CRPS", kind="p", meaning="small: another one is better"),
        Column(name="may be best on CRPS"),
        Column(name="p on log score", kind="p", meaning="empty where somebody states no density"),
        Column(name="may be best on log score"),
    )
    rows = tuple(
        (f.horizon_bars, COMMON if f.seldom else ALL, name, f.excess[k], *_member(f.crps, k), *_member(f.log_score, k))
        for f in fields
        for k, name in enumerate(f.names)
    )  # fmt: skip
    note = "The set holds the best with 90 % confidence: who has a p of .10 or less is out of it."
    return Table(
        name="confidence-set",
        title="Who may be the best: the model confidence set",
        columns=columns,
        rows=rows,
        note=note,
    )


def _member(found: ConfidenceSet | None, k: int) -> tuple[Cell, Cell]:
    if found is None or found.reason:
        return nan, None
    return found.p_values[k], "yes" if found.included[k] else "no"


def _tests(fields: Sequence[Field]) -> Table:
    columns = (
        Column(name="bars ahead", kind="count"),
        Column(name="on"),
        Column(name="opponents", kind="count"),
        Column(name="p", kind="p", meaning='of "no opponent is better", by Hansen: the consistent one'),
        Column(name="p lower", kind="p"),
        Column(name="p upper", kind="p"),
        Column(name="proved better", meaning="by Romano and Wolf's steps, 5 % for all together"),
        Column(name="block", kind="number", unit="bars", digits=0, meaning="mean length drawn in one piece"),
        Column(name="instants", kind="count"),
    )
    return Table(
        name="superior",
        title="Is any opponent better than the model, all of them counted?",
        columns=columns,
        rows=tuple(_test_row(f) for f in fields),
    )


def _test_row(field: Field) -> tuple[Cell, ...]:
    found = field.spa
    p_values = (nan,) * 3 if found.reason else (found.p_value, found.p_lower, found.p_upper)
    return (
        field.horizon_bars,
        COMMON if field.seldom else ALL,
        len(field.names) - 1,
        *p_values,
        ", ".join(field.better) or "none",
        found.block_bars or nan,
        found.n,
    )
