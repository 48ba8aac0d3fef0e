"""Pages from templates: every text escaped, style and script inlined, nothing asked of a network."""

from collections.abc import Callable, Mapping
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from longshort.base.clock import format_instant
from longshort.study.report import Comparison
from longshort.web import formats, words

WIDE = 1000  # the width that charts are drawn for on a screen
PHONE = 350  # the width that the same charts are drawn for on a phone


def render(template: str, **values: object) -> str:
    """Fill a template of this package."""
    return _environment().get_template(template).render(**values)


def drawn(draw: Callable[[int], str]) -> Markup:
    """The same chart drawn for a screen and for a phone; the style shows the one that fits."""
    return both(draw(WIDE), draw(PHONE))


def both(screen: str, phone: str) -> Markup:
    """Two drawings of the same, one for a screen and one for a phone."""
    return Markup(  # noqa: S704 our own SVG, escaped where it was made
        f'<div class="wide">{screen}</div><div class="narrow">{phone}</div>'
    )


def once(drawing: str) -> Markup:
    """A small chart that looks the same everywhere."""
    return Markup(drawing)  # noqa: S704 our own SVG, escaped where it was made


def plain(value: object) -> str:
    """A setting as text.

    >>> plain((1, 4, 24)), plain(True), plain("")
    ('1, 4, 24', 'yes', 'none')
    """
    match value:
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(plain(v) for v in value) or "none"
        case dict():
            return ", ".join(f"{k} = {plain(v)}" for k, v in value.items()) or "none"
        case None | "":
            return "none"
        case _:
            return str(value)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("longshort", "web/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= _FILTERS
    return environment


def _skill(comparison: Comparison) -> str:
    return formats.skill(comparison.skill, comparison.ci95, comparison.unit)


_FILTERS: Mapping[str, Callable[..., str]] = {
    "ahead": words.ahead,
    "count": formats.count,
    "exact": formats.exact,
    "fixed": formats.fixed,
    "instant": format_instant,
    "metric": words.metric_name,
    "multiple": formats.multiple,
    "p_value": formats.p_value,
    "percent": formats.percent,
    "price": formats.price,
    "plain": plain,
    "roughly": formats.roughly,
    "skill": _skill,
    "times": words.times,
}
