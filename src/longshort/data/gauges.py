"""What else is on record beside a coin's bars: mark and index prices, open interest, the spot market."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from longshort.base.clock import Interval
from longshort.base.errors import DataError
from longshort.data.bars import Gauge
from longshort.data.grid import Sampled
from longshort.data.lake import Lake, Measure, Series

MEASURES: Mapping[Gauge, Measure] = MappingProxyType(
    {"mark_close": "mark", "index_close": "index", "open_interest": "open-interest"}
)
Column = list[Series | None]


def measured(lake: Lake, venue: str, interval: Interval, symbols: Sequence[str]) -> dict[Gauge, Column]:
    """The series of each gauge and coin: at the bars' own interval, else at the finest, None where there is none."""
    return {name: _gauge(lake, venue, measure, interval, symbols) for name, measure in MEASURES.items()}


def spot(lake: Lake, venue: str, interval: Interval, symbols: Sequence[str]) -> Column:
    """The spot bars of each contract's pair, where there are any; raise `DataError` where there are none at all."""
    found = [there(lake, Series.bars(venue, interval, symbol.partition(".")[0])) for symbol in symbols]
    if not any(found):
        raise DataError(
            f"no {interval} bars of the chosen coins at {venue!r}.",
            where="data.spot_venue",
            remedy="Import or fetch spot bars, or leave it empty.",
        )
    return found


def there(lake: Lake, series: Series) -> Series | None:
    """A series, if the lake holds it."""
    return series if lake.path(series).is_file() else None


def sampled(lake: Lake, series: Series | None) -> Sampled:
    """Its rows and how far they are apart, as a grid takes them."""
    return (series.interval, lake.read(series)) if series and series.interval else None


def _gauge(lake: Lake, venue: str, measure: Measure, interval: Interval, symbols: Sequence[str]) -> Column:
    held: dict[str, dict[Interval, Series]] = {}
    for series in lake.series(venue):
        if series.measure == measure and series.interval:
            held.setdefault(series.symbol, {})[series.interval] = series

    def best(lengths: Mapping[Interval, Series]) -> Series | None:
        return lengths.get(interval) or min(lengths.values(), key=_length, default=None)

    return [best(held.get(symbol, {})) for symbol in symbols]


def _length(series: Series) -> int:
    return series.interval.ns if series.interval else 0
