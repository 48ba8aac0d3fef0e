"""The charts of sections, drawn from their record alone: categories that do not fit side by side stand in rows.

Values that are not numbers are left out, never drawn as zero.
"""

from longshort.study.section import Chart
from longshort.web.lying import lying
from longshort.web.marks import Drawing, fits, prepared
from longshort.web.svg import picture, words
from longshort.web.upright import upright


def plot(chart: Chart, width: int = 1000, *, own: str = "") -> str:
    """One chart as SVG for a width in pixels; the series named `own` has the first color."""
    series = prepared(chart, own)
    if not series:
        return picture(width, 60, chart.title, words(4, 34, "nothing to draw", class_="tick"))
    drawing = Drawing(chart=chart, series=series, width=width)
    return upright(drawing) if fits(drawing) else lying(drawing)
