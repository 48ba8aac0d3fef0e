"""What a forecast rests on, as charts and topics: inputs, lags, and whether taking inputs away moves it as told."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from longshort.models.explain.attribution import ANSWERS
from longshort.study.explanation import Explanation
from longshort.study.section import Chart, Column, Series, Table
from longshort.web.formats import fixed, p_value, percent
from longshort.web.heat import LEVELS, Heat, heat
from longshort.web.pages import drawn
from longshort.web.plots import plot
from longshort.web.sections import Picture, Topic
from longshort.web.tables import view

SHOWN = 12  # inputs in a chart
BAND = (0.05, 0.95)  # of the random orders
NAMES = {"mean": "the mean", "width": "the width"}
Values = Float64[np.ndarray, " time"]


def told(found: Explanation) -> list[int]:
    """The answers that the network's head states at all: some state no mean, some no width."""
    return [k for k in range(len(ANSWERS)) if found.attribution.by_input(k).sum() > 0.5]


def resting_topics(found: Explanation) -> list[Topic]:
    """A topic for each answer, and one for the test of them."""
    return [*[_inputs_topic(found, k) for k in told(found)], _tests_topic(found)]


def resting_charts(found: Explanation) -> dict[str, Chart]:
    """The charts for a document, by name."""
    charts = {f"inputs-{ANSWERS[k]}": inputs_chart(found, k) for k in told(found)}
    return charts | {"lags": lags_chart(found), "deletion": deletion_chart(found, told(found)[-1])}


def inputs_chart(found: Explanation, answer: int) -> Chart:
    """The inputs that add most, by both methods."""
    own = found.attribution.by_input(answer)
    other = found.attribution.by_input(answer, gradient=True)
    first = np.argsort(-own)[:SHOWN]
    places = tuple(float(k) for k in range(len(first)))
    return Chart(
        name=f"inputs-{ANSWERS[answer]}",
        title=f"What {NAMES[ANSWERS[answer]]} rests on",
        kind="bars",
        x_label="input",
        y_label="share of the sum of all inputs' effects",
        series=(
            Series(name="integrated gradients", x=places, y=tuple(own[first].tolist())),
            Series(name="gradient x input", x=places, y=tuple(other[first].tolist())),
        ),
        labels=tuple(found.inputs[k] for k in first),
        x_kind="label",
        y_kind="percent",
        reading=f"The net effect over {found.attribution.integrated.shape[1]} lags, without its sign, averaged over "
        f"{found.cells} forecasts. The {len(first)} shown hold {percent(float(own[first].sum()), 0)} of all.",
    )


def lags_chart(found: Explanation) -> Chart:
    """How far back the answers look."""
    count = found.attribution.integrated.shape[1]
    ago = tuple(float(k) for k in range(count))
    return Chart(
        name="lags",
        title="How far back it looks",
        kind="lines",
        x_label="bars before the forecast",
        y_label="share of the effect of all lags",
        series=tuple(
            Series(name=NAMES[ANSWERS[k]], x=ago, y=tuple(found.attribution.by_lag(k)[::-1].tolist()))
            for k in told(found)
        ),
        y_kind="percent",
        reading="The latest bar counts most. "
        + " ".join(
            f"Emptying the memory older than {count} bars moves {NAMES[ANSWERS[k]]} by "
            f"{percent(found.attribution.older[k], 1)} of what all inputs together move it."
            for k in told(found)
        ),
    )


def deletion_chart(found: Explanation, answer: int) -> Chart:
    """How far an answer moves as inputs are taken away, against random orders."""
    test = found.tests[answer]
    taken = tuple(float(k) for k in test.taken)
    low, high = (tuple(np.quantile(test.random, level, axis=0).tolist()) for level in BAND)
    return Chart(
        name=f"deletion-{ANSWERS[answer]}",
        title=f"Taking inputs away: {NAMES[ANSWERS[answer]]}",
        kind="lines",
        x_label="inputs set to their training mean at every lag",
        y_label="how far it moves, as a share of its way without any",
        series=(
            Series(name="most important first", x=taken, y=test.curve),
            Series(
                name="random orders", x=taken, y=tuple(test.random.mean(axis=0).tolist()), low=low, high=high
            ),
        ),
        reading=f"The order comes from other forecasts than these. Mean height {fixed(test.area)}, of "
        f"{len(test.random)} random orders {fixed(test.random_area)}: {p_value(test.p_value)} that a random order "
        "does as well. The band holds nine in ten of them.",
        y_kind="percent",
    )


def both_map(found: Explanation, answer: int) -> Heat:
    """The effect of the first inputs at each lag."""
    both = found.attribution.by_both(answer)
    first = np.argsort(-found.attribution.by_input(answer))[:SHOWN]
    share = both[:, first].T / max(float(both[:, first].max()), 1e-300)
    edges = 0.5 ** np.arange(LEVELS - 1, 0, -1)
    count = len(both)
    return Heat(
        title=f"Inputs and lags of {NAMES[ANSWERS[answer]]}",
        levels=np.searchsorted(edges, share).astype(np.int64),
        legend=tuple(_halves(k) for k in range(LEVELS)),
        legend_title="effect: at least this share of the largest",
        rows_title="input",
        columns_title="bars before the forecast",
        names=tuple(found.inputs[k] for k in first),
        says=(),
        marks=tuple((count - ago - 0.5, str(ago)) for ago in range(0, count, 12)),
        row_height=20.0,
    )


def inputs_table(found: Explanation, answer: int) -> Table:
    """Every input, the most important first."""
    own = found.attribution.by_input(answer)
    other = found.attribution.by_input(answer, gradient=True)
    signed = found.attribution.integrated[answer].sum(axis=0).mean(axis=0)
    return Table(
        name=f"inputs-{ANSWERS[answer]}",
        title="Every input",
        columns=(
            Column(name="input"),
            Column(name="share", kind="percent"),
            Column(name="gradient x input", kind="percent"),
            Column(
                name="mean effect", kind="signed", digits=4, meaning="in volatility units; log for the width"
            ),
        ),
        rows=tuple(
            (found.inputs[k], float(own[k]), float(other[k]), float(signed[k])) for k in np.argsort(-own)
        ),
    )


def topic(
    key: str,
    title: str,
    reading: str,
    pictures: Sequence[Picture] = (),
    *,
    tables: Sequence[Table] = (),
    notes: tuple[str, ...] = (),
) -> Topic:
    """A topic of a page."""
    return Topic(
        key=key,
        title=title,
        reading=reading,
        small=(),
        charts=tuple(pictures),
        tables=tuple(view(key, table) for table in tables),
        notes=notes,
        missing="" if pictures or tables else reading,
    )


def chart_picture(chart: Chart) -> Picture:
    """A chart drawn for screen and phone."""
    return Picture(title=chart.title, drawing=drawn(lambda width: plot(chart, width)), reading=chart.reading)


def over_time(closed_at: Int64[np.ndarray, " time"], name: str, values: Values) -> Series:
    """A line over instants."""
    return Series(name=name, x=tuple(closed_at.astype(np.float64).tolist()), y=tuple(values.tolist()))


def _inputs_topic(found: Explanation, answer: int) -> Topic:
    word, lags = ANSWERS[answer], both_map(found, answer)
    picture = Picture(
        title=lags.title,
        drawing=drawn(lambda width: heat(lags, width)),
        reading="The latest bar is at the right; each step of color is a factor of two.",
    )
    left = found.attribution.gap[answer]
    belief = {
        "mean": f"Of this mean the forecast believes {percent(found.believed, 0)}.",
        "width": f"In its logarithm {percent(found.own_width, 0)} of the forecast, the rest is the anchor's.",
    }[word]
    return topic(
        f"inputs-{word}",
        f"What {NAMES[word]} rests on",
        f"Over {found.cells} forecasts of {len(found.symbols)} series, each against training means. {belief}",
        [chart_picture(inputs_chart(found, answer)), picture],
        tables=[inputs_table(found, answer)],
        notes=(
            f"Integrated gradients add up to the forecast: {percent(left, 2)} of it is left unexplained.",
        ),
    )


def _tests_topic(found: Explanation) -> Topic:
    return topic(
        "test",
        "Is that so?",
        "Inputs that are called important are taken away: if the attribution tells the truth, the forecast moves "
        "sooner than when random ones are.",
        [chart_picture(lags_chart(found)), *[chart_picture(deletion_chart(found, k)) for k in told(found)]],
    )


def _halves(k: int) -> str:
    """What a color of a map of effects means: below 1/128 of the largest, from there, ..., from 1/2.

    >>> _halves(0), _halves(1), _halves(LEVELS - 1)
    ('less', '1/128', '1/2')
    """
    return f"1/{2 ** (LEVELS - k)}" if k else "less"
