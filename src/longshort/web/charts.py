"""Charts of evidence: coverage, probability integral transforms, folds, plain bars."""

import math
from collections.abc import Mapping, Sequence

from longshort.study.report import FoldSpan
from longshort.web.formats import Number, count, day, fixed, percent
from longshort.web.scales import Scale
from longshort.web.svg import LETTER, Frame, el, picture, tooltip, words

SMALL = 320  # small multiples are drawn once, for a phone, and set side by side on a larger screen


def coverage_dots(
    points: Sequence[tuple[float, float]], rivals: Mapping[str, Sequence[tuple[float, float]]]
) -> str:
    """Nominal against actual coverage; on the diagonal the intervals hold what they promise."""
    frame, size = Frame(52, 30, SMALL - 22, 262), SMALL
    everything = [p for series in (points, *rivals.values()) for p in series if math.isfinite(p[1])]
    low = min([0.45, *(min(p) - 0.03 for p in everything)])
    across, up = Scale(low, 1.0, frame.left, frame.right), Scale(low, 1.0, frame.bottom, frame.top)
    levels = [(level, percent(level, 0)) for level in across.ticks(5)]
    body = [
        frame.value_axis(up, levels, "actual"),
        frame.bottom_axis(across, levels, "nominal"),
        el("line", x1=across.at(low), y1=up.at(low), x2=across.at(1), y2=up.at(1), class_="zero"),
        *(
            el("path", tooltip(f"{name}: {percent(b, 1)} inside the {percent(a, 0)} interval"),
               d=f"M{across.at(a):.1f} {up.at(b) - 5:.1f}l5 5l-5 5l-5-5z", class_="rival")
            for name, series in rivals.items() for a, b in series if math.isfinite(b)
        ),
        *(_covered(a, b, across, up) for a, b in points if math.isfinite(b)),
    ]  # fmt: skip
    return picture(size, 304, "Nominal and actual coverage of central intervals", *body)


def pit_histogram(shares: Sequence[float]) -> str:
    """How often the outcome fell into each equal slice of the forecast; flat at 1 is perfect calibration."""
    total = sum(shares)
    frame = Frame(52, 24, SMALL - 12, 172)
    heights = [share / total * len(shares) for share in shares] if total > 0 else []
    up = Scale(0.0, max([1.5, *heights]) * 1.05, frame.bottom, frame.top)
    across = Scale(0.0, 1.0, frame.left, frame.right)
    slice_ = (frame.right - frame.left) / max(1, len(heights))
    bars = [
        el(
            "rect",
            tooltip(f"slice {k + 1} of {len(heights)}: {fixed(height)} times even"),
            x=frame.left + k * slice_ + 1,
            y=up.at(height),
            width=slice_ - 2,
            height=frame.bottom - up.at(height),
            class_="bar s0",
        )
        for k, height in enumerate(heights)
    ]
    body = [
        frame.value_axis(up, [(v, fixed(v, 1)) for v in up.ticks(3)], "frequency, 1 = even"),
        frame.bottom_axis(
            across, [(v, fixed(v, 1)) for v in (0.0, 0.5, 1.0)], "forecast probability of the outcome"
        ),
        *bars,
        el("line", x1=frame.left, x2=frame.right, y1=up.at(1), y2=up.at(1), class_="zero"),
    ]
    return picture(SMALL, 214, "Histogram of the probability integral transform", *body)


def fold_strips(folds: Sequence[FoldSpan], width: int = 1000) -> str:
    """One strip per fold: what it trained on, the gap derived from the horizon, what it was judged on."""
    if not folds:
        return picture(width, 60, "folds", words(4, 34, "nothing to draw", class_="tick"))
    frame = Frame(56, 12, width - 12, 12.0 + 28 * len(folds))
    first, last = min(f.train_from for f in folds), max(f.test_until for f in folds)
    across = Scale(float(first), float(max(last, first + 1)), frame.left, frame.right)
    rows = [_strip(k, fold, across, frame.top + 28 * k + 4) for k, fold in enumerate(folds)]
    height = frame.bottom + 44
    span = f"{day(first)} to {day(last)}, UTC"
    return picture(width, height, f"Folds over time, {span}", frame.time_axis(across, span), *rows)


def bars(rows: Sequence[tuple[str, float, str]], title: str, width: int = 480) -> str:
    """Horizontal bars from zero with their numbers at the end; unknown values have only their text."""
    known = [value for _, value, _ in rows if math.isfinite(value)]
    left = 16 + LETTER * max(len(label) for label, _, _ in rows)
    right = width - 16 - LETTER * max(len(text) for _, _, text in rows)
    across = Scale(min([0.0, *known]), max([0.0, *known]) or 1.0, left, right)
    drawn: list[str] = []
    for k, (label, value, text) in enumerate(rows):
        y, reach = 30 + 30 * k, across.at(value) if math.isfinite(value) else across.at(0)
        start, length = min(across.at(0), reach), abs(reach - across.at(0))
        drawn += [
            words(left - 10, y + 15, label, class_="name end"),
            el(
                "rect", tooltip(f"{label}: {text}"), x=start, y=y, width=length, height=20, class_=f"bar s{k}"
            ),
            words(max(across.at(0), reach) + 8, y + 15, text, class_="name"),
        ]
    bottom = 30 + 30 * len(rows)
    zero = el("line", x1=across.at(0), x2=across.at(0), y1=24, y2=bottom, class_="zero")
    return picture(width, bottom + 8, title, words(4, 14, title, class_="axis"), *drawn, zero)


def _covered(nominal: Number, actual: Number, across: Scale, up: Scale) -> str:
    x, y = across.at(nominal), up.at(actual)
    text = f"the {percent(nominal, 0)} interval held {percent(actual, 1)} of outcomes"
    dot = el("circle", tooltip(text), cx=x, cy=y, r=5.5, class_="dot better")
    beside = (x - 10, y - 4, "number end") if nominal > 0.7 else (x + 10, y + 15, "number")
    return dot + words(beside[0], beside[1], percent(actual, 1), class_=beside[2])


def _strip(k: int, fold: FoldSpan, across: Scale, y: Number) -> str:
    from_, until = fold.validation_from, fold.validation_until
    fitted_until = fold.train_until if until is None else max(fold.train_until, until)
    parts = [
        ("train", fold.train_from, fold.train_until, f"{day(fold.train_from)} to {day(fold.train_until)}")
    ]
    if from_ is not None and until is not None:
        parts.append(("validation", from_, until, f"{day(from_)} to {day(until)}"))
    parts += [
        ("gap", fitted_until, fold.test_from, f"{count(fold.gap_bars)} bars, derived from the horizon"),
        ("test", fold.test_from, fold.test_until, f"{day(fold.test_from)} to {day(fold.test_until)}"),
    ]
    drawn = [words(4, y + 14, f"fold {k + 1}", class_="name")]
    for name, start, stop, text in parts:
        x, length = across.at(start), max(2.0, across.at(stop) - across.at(start))
        drawn.append(
            el("rect", tooltip(f"{name}: {text}"), x=x, y=y, width=length, height=20, class_=f"strip {name}")
        )
        if name != "gap" and length > 8 * len(name):
            drawn.append(words(x + length / 2, y + 14, name, class_=f"on-{name} middle"))
    return "".join(drawn)
