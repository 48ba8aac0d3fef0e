"""Skill against each opponent as pictures: hardest opponents first, horizons side by side.

On a phone only the hardest are drawn; the table below the pictures has them all.
"""

import math
from dataclasses import dataclass

from longshort.study.report import Comparison, Report
from longshort.web.forests import Interval, facets, forest
from longshort.web.formats import count, p_value
from longshort.web.pages import PHONE, both
from longshort.web.sections import Picture
from longshort.web.words import ahead, margin, metric_name

SIDE_BY_SIDE = 3  # horizons
HARDEST = 6  # opponents that are drawn where there is no room for all


@dataclass(frozen=True, slots=True)
class Panel:
    """All comparisons by one metric."""

    report: Report
    comparisons: tuple[Comparison, ...]

    @property
    def names(self) -> list[str]:
        """The opponents, the hardest to beat first: by the least sure of their horizons."""
        found = dict.fromkeys(c.opponent for c in self.comparisons)
        return sorted(found, key=lambda n: min(_sureness(c) for c in self.comparisons if c.opponent == n))

    @property
    def horizons(self) -> list[int]:
        """Every horizon that was compared at."""
        return sorted({c.horizon_bars for c in self.comparisons})

    def at(self, horizon_bars: int) -> list[Comparison]:
        """The comparisons at one horizon, the hardest first."""
        return sorted((c for c in self.comparisons if c.horizon_bars == horizon_bars), key=_sureness)

    def rows(self, horizon_bars: int) -> list[Interval]:
        """The same as rows of a picture."""
        found = self.at(horizon_bars)
        return [_row(c, self.report.noun, hardest=c is found[0] and len(found) > 1) for c in found]


def panels(report: Report) -> list[Panel]:
    """One for each metric that was compared by, in the order of the comparisons."""
    kinds = dict.fromkeys((c.question, c.metric, c.unit) for c in report.comparisons)
    return [
        Panel(report, tuple(c for c in report.comparisons if (c.question, c.metric, c.unit) == kind))
        for kind in kinds
    ]


def skill_pictures(report: Report) -> list[Picture]:
    """Every panel drawn for a screen and for a phone."""
    return [_picture(panel) for panel in panels(report)]


def hardest_rows(panel: Panel, horizon_bars: int, most: int = HARDEST) -> list[Interval]:
    """The opponents at one horizon that are hardest to beat."""
    return panel.rows(horizon_bars)[:most]


def smallest_useful(panel: Panel) -> float | None:
    """The smallest useful skill in the panel's unit."""
    return margin(panel.comparisons[0], panel.report)


def _picture(panel: Panel) -> Picture:
    first, useful = panel.comparisons[0], smallest_useful(panel)
    columns = {ahead(h): {row.label: row for row in panel.rows(h)} for h in panel.horizons}
    titles = list(columns)
    wide = [
        facets(panel.names, {t: columns[t] for t in titles[k : k + SIDE_BY_SIDE]}, first.unit, useful)
        for k in range(0, len(titles), SIDE_BY_SIDE)
    ]
    hardest = [row for h in panel.horizons for row in hardest_rows(panel, h)]
    narrow = forest(hardest, first.unit, useful, PHONE)
    return Picture(
        title=f"{first.question.capitalize()}: {metric_name(first.metric)}",
        drawing=both("".join(wide), narrow),
        reading=_reading(panel),
    )


def _reading(panel: Panel) -> str:
    rows = [row for h in panel.horizons for row in panel.rows(h)]
    better = sum(row.side == "better" for row in rows if math.isfinite(row.low))
    unknown = sum(not math.isfinite(row.value) for row in rows)
    said = [f"{better} of {len(rows)} intervals lie wholly to the right of zero."]
    said += ["Shaded: the hardest to beat."] if len(panel.names) > 1 else []
    said += [f"{unknown} could not be computed."] if unknown else []
    return " ".join(said)


def _row(comparison: Comparison, noun: str, *, hardest: bool) -> Interval:
    c = comparison
    return Interval(
        group=ahead(c.horizon_bars),
        label=c.opponent,
        value=c.skill,
        low=c.ci95[0],
        high=c.ci95[1],
        note=c.reason or f"{p_value(c.p_value)}, {count(c.n_instants)} instants, {c.n_coins} {noun}",
        hardest=hardest,
    )


def _sureness(comparison: Comparison) -> tuple[float, float]:
    """Small where the model's lead is least sure; what could not be tested comes last."""
    half = (comparison.ci95[1] - comparison.ci95[0]) / 2.0
    if not (math.isfinite(comparison.skill) and math.isfinite(half)):
        return math.inf, 0.0
    return comparison.skill / half if half > 0 else math.copysign(
        math.inf, comparison.skill
    ), comparison.skill
