"""What a search found as sections, which page and terminal print alike: the lead, what mattered, the best trials."""

from collections.abc import Sequence
from math import isfinite

from longshort.base.searching import Value
from longshort.study.section import Cell, Chart, Column, Section, Series, Table
from longshort.study.tuning.account import Found
from longshort.study.tuning.search import Attempt
from longshort.study.tuning.space import family_of, own_values

TOLD = 10  # trials in the table of the best
OWN = "0, own"  # what the table calls the study as it stands


def sections(found: Found) -> tuple[Section, ...]:
    """What page and terminal print: the lead, what mattered, the best trials."""
    return (_lead_section(found), _importance_section(found), _trials_section(found))


def setting_text(value: Value) -> str:
    """A setting in a few letters.

    >>> setting_text(0.00200), setting_text(True), setting_text("student-t")
    ('0.002', 'on', 'student-t')
    """
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def setting_name(name: str) -> str:
    """A setting as people call it.

    >>> setting_name("learning_rate"), setting_name("family price")
    ('learning rate', 'price features')
    """
    family = family_of(name)
    return f"{family} features" if family else name.replace("_", " ")


def ahead(bars: int) -> str:
    """A horizon in words.

    >>> ahead(1), ahead(4)
    ('1 bar', '4 bars')
    """
    return f"{bars} bar{'s' if bars > 1 else ''}"


def _lead_section(found: Found) -> Section:
    tests = [(lead, lead.test) for lead in found.leads]
    columns = (
        Column(name="horizon"),
        Column(name="lead", kind="signed", unit=found.unit, digits=4),
        Column(name="from", kind="signed", unit=found.unit, digits=4),
        Column(name="to", kind="signed", unit=found.unit, digits=4, meaning="the 95 % interval by instants"),
        Column(name="p", kind="p", meaning="one-sided, as if the trial had not been chosen"),
    )
    rows = tuple(
        (
            ahead(lead.horizon) if lead.horizon else "all",
            test.mean,
            test.mean - test.half_width,
            test.mean + test.half_width,
            test.p_value,
        )
        for lead, test in tests
    )
    table = Table(
        name="lead",
        title="The best trial against the study as it stands, on the same inner rows",
        columns=columns,
        rows=rows,
        note=f"{found.ground.metric}; the mean over coins per instant, {found.ground.tested_rows:,} instants.",
    )
    return Section(
        key="lead",
        title="What was found",
        reading=_reading(found),
        tables=(table,) if rows else (),
        notes=(_honesty(found),),
    )


def _reading(found: Found) -> str:
    own, best, unit = found.own, found.best, found.unit
    start = f"As it stands the study gains {own.score:+.4f} {unit} over HAR-t on the inner rows"
    if not best.number:
        return f"{start}; none of {len(found.attempts) - 1} other trials gains more."
    test = found.leads[0].test
    interval = f" [{test.mean - test.half_width:+.4f}, {test.mean + test.half_width:+.4f}]"
    words = interval if isfinite(test.half_width) else f" (no interval: {test.reason})"
    return f"{start}, trial {best.number} gains {best.score:+.4f}: a lead of {test.mean:+.4f}{words} {unit}."


def _honesty(found: Found) -> str:
    many = len(found.attempts)
    note = (
        f"The best of {many} trials looks better than it is: it was chosen on these rows, and its interval does not "
        f"know that."
    )
    if isfinite(found.luck):
        note += f" With every trial that was judged in full counted, the p of 'none is better' is {found.luck:.3f}."
    return note + " Only `longshort evaluate tuned.toml` says what it is worth on rows that no trial saw."


def _importance_section(found: Found) -> Section:
    title = "What mattered"
    if not found.importances:
        missing = "too few trials were judged in full to say what mattered."
        return Section(key="importance", title=title, reading="", missing=missing)
    own = own_values(found.ground.study, found.ground.space)
    order = sorted(found.importances, key=lambda name: -found.importances[name])
    table = Table(
        name="importance",
        title="Settings by importance",
        columns=(
            Column(name="setting"),
            Column(name="importance", kind="percent", digits=1),
            Column(name="as it stands"),
            Column(name="best trial"),
        ),
        rows=tuple(
            (
                setting_name(name),
                found.importances[name],
                setting_text(own[name]),
                setting_text(found.best.values[name]),
            )
            for name in order
        ),
        note="PED-ANOVA: where the best quarter of trials lies, against all. With few trials it is a hint, no more.",
    )
    bars = Chart(
        name="importance",
        title="Importance",
        kind="bars",
        x_label="",
        y_label="share",
        labels=tuple(setting_name(name) for name in order),
        x_kind="label",
        y_kind="percent",
        series=(
            Series(
                name="importance",
                x=tuple(float(k) for k in range(len(order))),
                y=tuple(found.importances[name] for name in order),
            ),
        ),
        reading="How much of what sets good trials apart lies in each setting.",
    )
    first = setting_name(order[0])
    return Section(
        key="importance",
        title=title,
        reading=f"Most of it lies in {first} ({100 * found.importances[order[0]]:.0f} %).",
        tables=(table,),
        charts=(bars,),
    )


def _trials_section(found: Found) -> Section:
    ranked = sorted((a for a in found.attempts if a.state == "complete"), key=lambda a: (-a.score, a.number))
    shown = ranked[:TOLD] if found.own in ranked[:TOLD] else [*ranked[: TOLD - 1], found.own]
    names = [name for name in found.ground.space.parts if not family_of(name)]
    has_families = len(names) < len(found.ground.space.parts)
    columns = [
        Column(name="trial"),
        Column(name="gain over HAR-t", kind="signed", unit=found.unit, digits=4),
        Column(name="worst fold", kind="signed", unit=found.unit, digits=4),
        *[Column(name=setting_name(name)) for name in names],
        *([Column(name="features")] if has_families else []),
    ]
    table = Table(
        name="trials",
        title="The best trials",
        columns=tuple(columns),
        rows=tuple(_trial_row(attempt, names, found.own if has_families else None) for attempt in shown),
        note="Features: families turned on (+) and off (-)." if has_families else "",
    )
    counts = {
        state: sum(a.state == state for a in found.attempts) for state in ("complete", "given up", "unfit")
    }
    reading = (
        f"{len(found.attempts)} trials: {counts['complete']} judged on all {len(found.ground.folds)} inner folds, "
        f"{counts['given up']} given up behind the median, {counts['unfit']} that could not be fitted."
    )
    reasons = tuple(
        dict.fromkeys(f"Trial {a.number}: {a.reason}" for a in found.attempts if a.state == "unfit")
    )
    return Section(key="trials", title="The trials", reading=reading, tables=(table,), notes=reasons[:TOLD])


def _trial_row(attempt: Attempt, names: Sequence[str], own: Attempt | None) -> tuple[Cell, ...]:
    name = str(attempt.number) if attempt.number else OWN
    told = [setting_text(attempt.values[key]) for key in names]
    switched = [_switched(attempt, own)] if own else []
    return (name, attempt.score, min(attempt.folds), *told, *switched)


def _switched(attempt: Attempt, own: Attempt) -> str:
    """Families that a trial turned on and off."""
    changed = {
        family: value
        for name, value in attempt.values.items()
        if (family := family_of(name)) and value != own.values[name]
    }
    return " ".join(f"{'+' if on else '-'}{family}" for family, on in changed.items()) or "as it stands"
