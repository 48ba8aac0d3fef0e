"""Numbers as people read them: a true minus sign, a set number of digits, `n/a` where there is no number."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from longshort.base.clock import SECOND
from longshort.study.significance import LEVEL

Number = int | float
NOTHING = "n/a"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def fixed(value: Number, decimals: int = 2, *, sign: bool = False) -> str:
    """A number with a set number of decimals and thousands apart.

    >>> fixed(1234.5, 1), fixed(0.5, sign=True), fixed(float("nan"))
    ('1,234.5', '+0.50', 'n/a')
    """
    if not math.isfinite(value):
        return NOTHING
    rounded = round(value, decimals) + 0.0  # no negative zero
    return f"{rounded:{'+' if sign and rounded else ''},.{decimals}f}".replace("-", MINUS)


def exact(value: Number) -> str:
    """A number as it is, without digits that say nothing.

    >>> exact(74.0), exact(1200.125)
    ('74', '1,200.125')
    """
    return f"{value:,.10g}".replace("-", MINUS) if math.isfinite(value) else NOTHING


def percent(fraction: Number, decimals: int = 2, *, sign: bool = False) -> str:
    """A fraction as a percentage.

    >>> percent(0.123), percent(0.5, 0)
    ('12.30 %', '50 %')
    """
    return fixed(100 * fraction, decimals, sign=sign) + (" %" if math.isfinite(fraction) else "")


def significant(value: Number, digits: int = 4) -> str:
    """A number with a set number of significant digits.

    >>> significant(0.0041237), significant(12.3456), significant(0.0)
    ('0.004124', '12.35', '0')
    """
    if not math.isfinite(value):
        return NOTHING
    return "0" if value == 0 else fixed(value, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def p_value(value: Number) -> str:
    """A probability without false precision.

    >>> p_value(0.0004), p_value(0.0312), p_value(0.0498)
    ('p < .001', 'p = .031', 'p = .0498')
    """
    if not math.isfinite(value):
        return f"p {NOTHING}"
    decimals = 4 if round(value, 3) == LEVEL else 3  # never round onto the very limit
    return "p < .001" if value < 0.001 else f"p = {value:.{decimals}f}".replace("0.", ".", 1)


def skill(value: Number, interval: tuple[Number, Number], unit: str) -> str:
    """A skill with its interval: as many decimals as give the interval's width two digits.

    >>> skill(1.8712, (1.2345, 2.5), "%")
    '+1.9 [+1.2, +2.5] %'
    """
    decimals = decimals_for(interval[1] - interval[0])
    low, high = (fixed(bound, decimals, sign=True) for bound in interval)
    return f"{fixed(value, decimals, sign=True)} [{low}, {high}] {unit}".rstrip()


def decimals_for(width: Number) -> int:
    """How many decimals show a width with two digits.

    >>> decimals_for(0.031), decimals_for(250.0)
    (3, 0)
    """
    if not (math.isfinite(width) and width > 0):
        return 3
    return min(8, max(0, 1 - math.floor(math.log10(width))))


def alike(values: Sequence[Number], *, sign: bool = False) -> list[str]:
    """Ticks with the fewest decimals that tell each exactly.

    >>> alike([0.0, 0.25, 0.5])
    ['0.00', '0.25', '0.50']
    """
    enough = (d for d in range(10) if all(abs(round(v, d) - v) <= 1e-9 * max(1e-9, abs(v)) for v in values))
    decimals = next(enough, 10)
    return [fixed(value, decimals, sign=sign) for value in values]


def percents(values: Sequence[Number]) -> list[str]:
    """Ticks that are fractions, as percentages.

    >>> percents([0.0, 0.005])
    ['0.0 %', '0.5 %']
    """
    return [f"{label} %" for label in alike([100 * value for value in values])]


def multiple(value: Number) -> str:
    """A multiple of something, with a multiplication sign."""
    return fixed(value) + (TIMES if math.isfinite(value) else "")


def count(value: Number) -> str:
    """A whole number with thousands apart.

    >>> count(12345)
    '12,345'
    """
    return fixed(value, 0)


def roughly(value: Number) -> str:
    """A large number to two digits.

    >>> roughly(3_786_786), roughly(91)
    ('3,800,000', '91')
    """
    if not math.isfinite(value) or value == 0:
        return count(value)
    return count(round(value, 1 - math.floor(math.log10(abs(value)))))


def price(value: Number) -> str:
    """A price with five significant digits, or whole units from ten thousand on.

    >>> price(64123.4), price(0.123456)
    ('64,123', '0.12346')
    """
    return significant(value, 5)


def moment(instant: int) -> datetime:
    """A nanosecond instant as a UTC datetime, to the second."""
    return datetime.fromtimestamp(instant // SECOND, UTC)


def day(instant: int) -> str:
    """The UTC date of an instant.

    >>> day(0)
    '1970-01-01'
    """
    return moment(instant).strftime("%Y-%m-%d")


def listing(words: list[str], last: str = "and") -> str:
    """Words joined as in a sentence.

    >>> listing(["1", "4", "24"])
    '1, 4 and 24'
    """
    return (
        words[0] if len(words) == 1 else f" {last} ".join([", ".join(words[:-1]), words[-1]]) if words else ""
    )
