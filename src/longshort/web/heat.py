"""Heat maps as SVG: rows by columns of a few levels, drawn as runs of equal color so that thousands stay small.

The colors go from the page's own towards its ink, in blue and yellow only, and every picture carries their legend.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64

from longshort.web.formats import Number
from longshort.web.marks import shortened
from longshort.web.scales import Scale, padded, path
from longshort.web.svg import LETTER, NARROW, el, picture, tooltip, words

LEVELS = 8  # colors
LINE, GAP = 76.0, 14.0  # the height of the line above, and what parts it from the map


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """What to draw: a level from 0 to 7 per row and column, what they are called, and a line above them.

    `says` has a text for the pointer per row. `marks` are columns with a label below.
    """

    title: str
    levels: Int64[np.ndarray, "row column"]
    legend: tuple[str, ...]
    legend_title: str
    rows_title: str
    columns_title: str
    names: tuple[str, ...]
    says: tuple[str, ...]
    marks: tuple[tuple[float, str], ...]
    line: Float64[np.ndarray, " column"] | None = None
    line_title: str = ""
    row_height: float = 9.0


def heat(map_: Heat, width: int = 1000) -> str:
    """One heat map for a width in pixels."""
    rows, columns = map_.levels.shape
    letters = 19 if width < NARROW else 34
    names = [shortened(name, letters) for name in map_.names]
    left = max(12.0, 12 + LETTER * max(map(len, names), default=0))
    right, top = width - 10.0, 30.0 + (LINE + GAP if map_.line is not None else 0.0)
    bottom = top + rows * map_.row_height
    across = Scale(0.0, float(columns), left, right)
    body = [
        words(4, 14, map_.line_title or map_.rows_title, class_="axis"),
        _line(map_.line, across) if map_.line is not None else "",
        words(4, top - 5, map_.rows_title, class_="axis") if map_.line is not None else "",
        *_bottom(map_, across, bottom),
        _cells(map_, left, top, right),
        *(
            words(left - 8, top + (k + 0.5) * map_.row_height + 4, name, class_="name end")
            for k, name in enumerate(names)
        ),
        *(
            el("rect", tooltip(text), x=left, y=top + k * map_.row_height, width=right - left,
               height=map_.row_height, class_="hover")
            for k, text in enumerate(map_.says)
        ),
    ]  # fmt: skip
    legend, height = _legend(map_, bottom + 58, width)
    return picture(width, bottom + 58 + height, map_.title, *body, legend)


def runs(levels: Int64[np.ndarray, "row column"]) -> dict[int, str]:
    """For each level an SVG path through the cells that have it, a stroke of height 1 per run.

    >>> runs(np.array([[0, 0, 1], [1, 1, 1]]))
    {0: 'M0 .5h2', 1: 'M2 .5h1M0 1.5h3'}
    """
    paths: dict[int, str] = {}
    for row, cells in enumerate(levels.tolist()):
        starts = [k for k, level in enumerate(cells) if k == 0 or level != cells[k - 1]]
        for start, stop in pairwise([*starts, len(cells)]):
            stroke = f"M{start} {row or ''}.5h{stop - start}"
            paths[cells[start]] = paths.get(cells[start], "") + stroke
    return paths


def _cells(map_: Heat, left: Number, top: Number, right: Number) -> str:
    wide = (right - left) / map_.levels.shape[1]
    place = f"translate({left:.1f} {top:.1f}) scale({wide:.4f} {map_.row_height:g})"
    drawn = [el("path", d=d, class_=f"q q{level}") for level, d in sorted(runs(map_.levels).items())]
    return el("g", *drawn, transform=place)


def _bottom(map_: Heat, across: Scale, bottom: Number) -> list[str]:
    marks = [
        el("line", x1=across.at(at), x2=across.at(at), y1=bottom, y2=bottom + 5, class_="grid")
        + words(across.at(at), bottom + 18, label, class_="tick middle")
        for at, label in map_.marks
    ]
    return [*marks, words(across.stop, bottom + 34, map_.columns_title, class_="axis end")]


def _line(values: Float64[np.ndarray, " column"], across: Scale) -> str:
    known = values[np.isfinite(values)]
    if not len(known):
        return ""
    up = Scale(*padded(float(known.min()), float(known.max())), 24.0 + LINE, 24.0)
    return el("path", d=path(across(np.arange(len(values)) + 0.5), up(values)), class_="close")


def _legend(map_: Heat, top: Number, width: int) -> tuple[str, float]:
    each = min(88.0, (width - 8.0) / len(map_.legend))
    boxes = [
        el(
            "path",
            d=f"M{4 + k * each:.1f} {top + 15:.1f}h{each:.1f}",
            class_=f"q q{k}",
            style="stroke-width:12",
        )
        + words(4 + (k + 0.5) * each, top + 36, label, class_="tick middle")
        for k, label in enumerate(map_.legend)
    ]
    return words(4, top + 2, map_.legend_title, class_="axis") + "".join(boxes), 44.0
