"""Charts of money that the report and the tear sheet share: equity and drawdown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from longshort.study.account.tearsheet import drawdown
from longshort.study.report import Curve
from longshort.web.formats import listing, multiple, percent, percents
from longshort.web.lines import Axis, Line, line_chart, needs_log
from longshort.web.pages import drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawing and the one line that says how to read it."""

    drawing: Markup
    reading: str


def money_figures(curves: Sequence[Curve]) -> list[Figure]:
    """Equity of the first curve and its rivals, how far each stood below its peak; none without curves."""
    curves = [curve for curve in curves if len(curve.equity)]
    return [_equity(curves), _drawdown(curves)] if curves else []


def _equity(curves: Sequence[Curve]) -> Figure:
    lines = [
        Line(name=curve.name, at=curve.closed_at, values=curve.equity, style=k)
        for k, curve in enumerate(curves)
    ]
    log = needs_log(lines)
    title = "equity, multiple of the starting balance" + (", logarithmic" if log else "")
    axis = Axis(title=title, show=multiple, log=log)
    ends = [f"{curve.name} at {multiple(float(curve.equity[-1]))}" for curve in curves]
    return Figure(
        drawing=drawn(lambda width: line_chart(lines, axis, width, 340)),
        reading=f"After all costs, what was 1 at the start ends as {listing(ends)}.",
    )


def _drawdown(curves: Sequence[Curve]) -> Figure:
    declines = [drawdown(curve.equity, 1.0) for curve in curves]
    lines = [
        Line(name=curve.name, at=curve.closed_at, values=-decline, style=k)
        for k, (curve, decline) in enumerate(zip(curves, declines, strict=True))
    ]
    axis = Axis(title="drawdown, below the highest equity so far", show=percent, labels=percents, fill_to=0.0)
    worst = [f"{c.name} {percent(float(np.max(d)), 1)}" for c, d in zip(curves, declines, strict=True)]
    return Figure(
        drawing=drawn(lambda width: line_chart(lines, axis, width, 210)),
        reading=f"The deepest falls from a peak: {listing(worst)}.",
    )
