"""SVG as text: elements, escaped words, and the frame of axes that charts share; colors are the style's."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from longshort.web.formats import Number
from longshort.web.scales import Scale, time_ticks

NAMESPACE = "http://www.w3.org/2000/svg"
LETTER = 7.0  # a generous width of one letter at the charts' 13 px
GROWTH = 1.15  # how much larger than drawn a chart may be shown
NARROW = 560  # below this width a chart is drawn for a phone


def el(name: str, *children: str, **attributes: Number | str) -> str:
    """One element; attribute values are escaped, children are SVG already; `_` in a name stands for `-`.

    >>> el("g", el("line", x1=0, class_="zero"))
    '<g><line x1="0" class="zero"/></g>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items()
    )
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def words(x: Number, y: Number, text: str, **attributes: Number | str) -> str:
    """Escaped text at a place.

    >>> words(1, 2.5, "<b>")
    '<text x="1" y="2.5">&lt;b&gt;</text>'
    """
    return el("text", escape(text), x=x, y=y, **attributes)


def tooltip(text: str) -> str:
    """What a browser shows while the pointer rests on the element around it."""
    return el("title", escape(text))


def picture(width: Number, height: Number, description: str, *body: str) -> str:
    """A drawing that scales to the room it is given, with a description for those who cannot see it."""
    return el(
        "svg",
        *body,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=description,
        class_="chart",
        style=f"max-width:{width * GROWTH:.0f}px",
    )


@dataclass(frozen=True, slots=True)
class Frame:
    """The room for data inside a drawing, in pixels from its upper left corner."""

    left: Number
    top: Number
    right: Number
    bottom: Number

    def value_axis(self, scale: Scale, marks: Sequence[tuple[Number, str]], title: str) -> str:
        """Horizontal grid lines with labels to their left, and the title above."""
        lines = [
            el("line", x1=self.left, x2=self.right, y1=scale.at(v), y2=scale.at(v), class_="grid")
            + words(self.left - 8, scale.at(v) + 4, label, class_="tick end")
            for v, label in marks
        ]
        return "".join(lines) + words(4, 14, title, class_="axis")

    def bottom_axis(self, scale: Scale, marks: Sequence[tuple[Number, str]], title: str) -> str:
        """Vertical grid lines with labels below, and the title under them at the right."""
        lines = [
            el("line", x1=scale.at(v), x2=scale.at(v), y1=self.top, y2=self.bottom, class_="grid")
            + words(scale.at(v), self.bottom + 18, label, class_="tick middle")
            for v, label in marks
        ]
        return "".join(lines) + words(self.right, self.bottom + 36, title, class_="axis end")

    def time_axis(self, scale: Scale, title: str) -> str:
        """Vertical grid lines at round UTC instants."""
        room = max(2, int((self.right - self.left) / 80))
        marks = [(float(at), label) for at, label in time_ticks(int(scale.low), int(scale.high), room)]
        return self.bottom_axis(scale, marks, title)


def spread(wanted: Sequence[float], gap: Number, low: Number, high: Number) -> list[float]:
    """Move label heights apart so that none overlap, in the order they have.

    >>> spread([10.0, 11.0, 50.0], 14.0, 0.0, 100.0)
    [3.5, 17.5, 50.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[tuple[float, int]] = []  # (sum of wanted first places, members)
    for i in order:
        blocks.append((wanted[i], 1))
        while len(blocks) > 1 and _start(blocks[-2], gap) + blocks[-2][1] * gap > _start(blocks[-1], gap):
            (lower, n), (upper, m) = blocks[-2:]
            blocks[-2:] = [(lower + upper, n + m)]
    placed = [_start(block, gap) + k * gap for block in blocks for k in range(block[1])]
    shift = max(0.0, low - placed[0]) - max(0.0, placed[-1] - high) if placed else 0.0
    return [at + shift for _, at in sorted(zip(order, placed, strict=True))]


def _start(block: tuple[float, int], gap: Number) -> float:
    total, members = block
    return total / members - (members - 1) * gap / 2


def _value(value: Number | str) -> str:
    return escape(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
