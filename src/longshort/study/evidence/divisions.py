"""What other divisions of the past say: one row per part that was judged, and whether any stands out."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from longshort.base.settings import Study
from longshort.models.opponents.catalog import NETWORK
from longshort.models.opponents.scale import HAR
from longshort.study.report import Comparison
from longshort.study.section import Chart, Column, Section, Series, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The network against its rivals on one part; `sharpe` is the policy's, where the part is one stretch of rows."""

    name: str
    comparisons: tuple[Comparison, ...]
    sharpe: float | None


TITLES = MappingProxyType(
    {
        "combinatorial": "Combinatorial purged cross-validation",
        "coins": "Coins that were not learnt from",
        "periods": "Leaving out a period",
        "regimes": "Leaving out a regime",
    }
)
NOTE = "Fits learn from rows after those judged, so no trader could have had them: no verdict comes of it."
COLUMNS = (
    Column(name="judged"),
    Column(name="bars ahead", kind="count"),
    Column(name="CRPS skill", kind="signed", unit="%"),
    Column(name="low", kind="signed", unit="%"),
    Column(name="high", kind="signed", unit="%"),
    Column(name="log score gain", kind="signed", unit="nats", digits=4),
    Column(name="low", kind="signed", unit="nats", digits=4),
    Column(name="high", kind="signed", unit="nats", digits=4),
    Column(name="accuracy above majority", kind="signed", unit="points"),
    Column(name="low", kind="signed", unit="points"),
    Column(name="high", kind="signed", unit="points"),
    Column(name="instants", kind="count"),
    Column(name="net Sharpe", kind="signed", unit="per year"),
)


def section(study: Study, parts: Sequence[Part], *, fits: int) -> Section:
    """One row per part and horizon, and a chart of the skill one step ahead."""
    scheme = study.validation.scheme
    table = Table(
        name="parts", title=f"{NETWORK} against {HAR}, by what was judged", columns=COLUMNS, rows=_rows(parts)
    )
    return Section(
        key=scheme,
        title=TITLES[scheme],
        reading=_reading(parts, fits),
        tables=(table,),
        charts=(_chart(parts, min(study.target.horizons)),),
        notes=() if scheme == "coins" else (NOTE,),
    )


def _rows(parts: Sequence[Part]) -> tuple[tuple[str | float | int | None, ...], ...]:
    return tuple(
        (
            part.name,
            horizon,
            *[cell for c in part.comparisons if c.horizon_bars == horizon for cell in (c.skill, *c.ci95)],
            max(c.n_instants for c in part.comparisons if c.horizon_bars == horizon),
            part.sharpe,
        )
        for part in parts
        for horizon in dict.fromkeys(c.horizon_bars for c in part.comparisons)
    )


def _reading(parts: Sequence[Part], fits: int) -> str:
    skills = [
        (part, c) for part in parts for c in part.comparisons if c.metric == "crps" and np.isfinite(c.skill)
    ]
    if not skills:
        return f"{fits} fits; nothing could be compared."
    clear = sum(c.ci95[0] > 0.0 for _, c in skills)
    part, worst = min(skills, key=lambda found: found[1].skill)
    said = f"{fits} fits: {NETWORK} beats {HAR} in CRPS, beyond doubt, in {clear} of {len(skills)} cases."
    return f"{said} Least in {part.name}, {_ahead(worst.horizon_bars)}: {worst.skill:+.2f} %."


def _chart(parts: Sequence[Part], horizon: int) -> Chart:
    found = [
        next(c for c in p.comparisons if c.metric == "crps" and c.horizon_bars == horizon) for p in parts
    ]
    known = [c.skill for c in found if np.isfinite(c.skill)]
    spread = f"From {min(known):+.2f} to {max(known):+.2f} %" if known else "Nothing could be compared"
    return Chart(
        name="skill",
        title=f"CRPS skill against {HAR}, {_ahead(horizon)}",
        kind="intervals",
        x_label="judged",
        y_label="CRPS skill, %",
        x_kind="label",
        labels=tuple(part.name for part in parts),
        series=(
            Series(
                name=NETWORK,
                x=tuple(float(k) for k in range(len(parts))),
                y=tuple(c.skill for c in found),
                low=tuple(c.ci95[0] for c in found),
                high=tuple(c.ci95[1] for c in found),
            ),
        ),
        y_kind="signed",
        reference=0.0,
        reading=f"{spread}; bars are 95 % intervals.",
    )


def _ahead(horizon: int) -> str:
    return "1 bar ahead" if horizon == 1 else f"{horizon} bars ahead"
