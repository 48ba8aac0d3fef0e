"""Bars for a study: from the lake or from the embedded market, on one grid of closing instants.

This is the one place where opening stamps become closing ones. Nothing is filled: a bar that is not on record
is absent, and a bar in which a settlement may be missing has no funding coverage.
"""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from longshort.base.calendar import AlwaysOpen
from longshort.base.clock import HOUR, Interval, format_instant, parse_instant
from longshort.base.errors import DataError
from longshort.base.instrument import Instrument
from longshort.base.settings import DataSettings
from longshort.data.bars import Bars
from longshort.data.funding import Settlements, settle_on_grid
from longshort.data.instruments import infer_instrument, read_instruments
from longshort.data.lake import FUNDING, Lake, Series
from longshort.data.simulator import simulate_market

NO_SETTLEMENTS = Settlements(settled_at=np.zeros(0, dtype=np.int64), rate=np.zeros(0))
MILLISECOND = 1_000_000


def load_bars(settings: DataSettings, folder: Path = Path()) -> Bars:
    """The market that a study names, which lies in `folder`; raise `DataError` where it cannot be had."""
    if settings.source == "embedded":
        bars = _embedded(settings)
    else:
        bars = _from_lake(Lake(find_lake(settings.lake, folder)), settings)
    return _between(bars, settings)


def find_lake(lake: str, folder: Path) -> Path:
    """`LONGSHORT_LAKE`, else the study's own, else the lake in the study's folder, else the one beside it."""
    named = os.environ.get("LONGSHORT_LAKE", "")
    if named or lake:
        chosen = Path(named) if named else folder / lake
        if not chosen.is_dir():
            raise DataError(
                "no such lake.", where=chosen, remedy="Fill one with `longshort import FILES...`."
            )
        return chosen
    for chosen in (folder / "lake", folder.absolute().parent / "lake"):
        if chosen.is_dir():
            return chosen
    raise DataError(
        "no lake in the study's folder or beside it.",
        where=folder.absolute(),
        remedy='Fill one with `longshort import FILES...`, or set data.source = "embedded".',
    )


def _embedded(settings: DataSettings) -> Bars:
    if Interval.parse(settings.interval).ns != HOUR:
        raise DataError(
            "the embedded market has hourly bars only.", where="data.interval", remedy='Write "1h".'
        )
    bars = simulate_market(
        settings.embedded_coins,
        settings.embedded_bars,
        edge=settings.embedded_edge,
        seed=settings.embedded_seed,
    ).bars
    chosen = _choose(settings.symbols, bars.symbols, "the embedded market")
    return bars.coins([bars.symbols.index(s) for s in chosen])


def _from_lake(lake: Lake, settings: DataSettings) -> Bars:
    interval = Interval.parse(settings.interval)
    venue = _venue(lake, settings.venue)
    known = [s.symbol for s in lake.series(venue, f"bars-{interval}")]
    if not known:
        raise DataError(
            f"no {interval} bars in the lake.", where=lake.root / venue, remedy=_intervals(lake, venue)
        )
    chosen = _choose(settings.symbols, known, f"the lake's {interval} bars of {venue}")
    rows = [lake.read(Series.bars(venue, interval, symbol)) for symbol in chosen]
    recorded = read_instruments(lake.root / venue)
    instruments = [
        recorded.get(symbol) or infer_instrument(venue, symbol, r)
        for symbol, r in zip(chosen, rows, strict=True)
    ]
    with_funding = {s.symbol for s in lake.series(venue, FUNDING)}
    funding = [
        _settlements(lake.read(Series(venue, FUNDING, symbol))) if symbol in with_funding else NO_SETTLEMENTS
        for symbol in chosen
    ]
    return assemble(interval, instruments, rows, funding)


def assemble(
    interval: Interval,
    instruments: Sequence[Instrument],
    rows: Sequence[pl.DataFrame],
    funding: Sequence[Settlements],
) -> Bars:
    """Lay the lake's rows of several coins on the grid from the first close of any to the last."""
    stamps = [_closed_at(r, interval, i.symbol) for r, i in zip(rows, instruments, strict=True)]
    calendar = AlwaysOpen()
    closed_at = calendar.grid(int(min(s[0] for s in stamps)), int(max(s[-1] for s in stamps)), interval)
    shape = (len(closed_at), len(rows))
    place = [(s - closed_at[0]) // interval.ns for s in stamps]
    prices: dict[str, Float64[np.ndarray, "time asset"]] = {}
    for name in ("open", "high", "low", "close", "volume"):
        prices[name] = np.full(shape, np.nan)
        for a, r in enumerate(rows):
            prices[name][place[a], a] = r[name].to_numpy()
    present, listed, covered = (np.zeros(shape, dtype=bool) for _ in range(3))
    rate = np.full(shape, np.nan)
    for a, at in enumerate(place):
        present[at, a] = True
        listed[at[0] : at[-1] + 1, a] = True
        rate[:, a], covered[:, a] = settle_on_grid(funding[a], closed_at, interval)
    return Bars(
        venue=instruments[0].venue,
        interval=interval,
        instruments=tuple(instruments),
        closed_at=closed_at,
        **prices,
        present=present,
        listed=listed,
        funding_rate=rate,
        funding_covered=covered,
        calendar=calendar,
    )


def _closed_at(rows: pl.DataFrame, interval: Interval, symbol: str) -> Int64[np.ndarray, " time"]:
    """Opening stamps become closing ones; raise `DataError` where they are not in order on the grid."""
    opened_at = rows["opened_at"].to_physical().to_numpy() * MILLISECOND
    if not len(opened_at) or (np.diff(opened_at) <= 0).any() or (opened_at % interval.ns).any():
        raise DataError(
            "bars are missing, out of order, or off the grid.",
            where=symbol,
            remedy="Look with `longshort check`.",
        )
    return opened_at + interval.ns


def _settlements(rows: pl.DataFrame) -> Settlements:
    settled_at = rows["settled_at"].to_physical().to_numpy() * MILLISECOND
    return Settlements(settled_at=settled_at, rate=rows["rate"].to_numpy())


def _venue(lake: Lake, wanted: str) -> str:
    venues = sorted({s.venue for s in lake.series() if s.interval})
    if wanted in venues:
        return wanted
    if not venues:
        raise DataError(
            "the lake holds no bars.", where=lake.root, remedy="Fill it with `longshort import FILES...`."
        )
    if wanted:
        raise DataError(
            f"no bars of venue {wanted!r} in the lake.", where=lake.root, remedy=_known(wanted, venues)
        )
    if len(venues) > 1:
        raise DataError(
            f"the lake holds several venues: {', '.join(venues)}.",
            where=lake.root,
            remedy="Set data.venue to one of them.",
        )
    return venues[0]


def _intervals(lake: Lake, venue: str) -> str:
    intervals = sorted({s.interval.ns for s in lake.series(venue) if s.interval})
    return f"Set data.interval to one that is there: {', '.join(str(Interval(ns)) for ns in intervals)}."


def _choose(wanted: Sequence[str], known: Sequence[str], place: str) -> list[str]:
    """The wanted symbols, or all; raise `DataError` naming the nearest for one that is unknown."""
    for symbol in wanted:
        if symbol not in known:
            raise DataError(
                f"{symbol} is not in {place}.", where="data.symbols", remedy=_known(symbol, known)
            )
    if len(set(wanted)) < len(wanted):
        raise DataError("a coin is named twice.", where="data.symbols")
    return list(wanted or known)


def _known(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]}?" if close else f"Known are: {', '.join(known)}."


def _between(bars: Bars, settings: DataSettings) -> Bars:
    """Keep bars that opened at or after `since` and closed by `until`, and coins that have any."""
    first = parse_instant(settings.since) + bars.interval.ns if settings.since else int(bars.closed_at[0])
    cut = bars.until(parse_instant(settings.until)) if settings.until else bars
    cut = cut[int(np.searchsorted(cut.closed_at, first)) :]
    alive = [bool(column.any()) for column in cut.present.T]
    silent = [s for s, lives in zip(cut.symbols, alive, strict=True) if not lives and s in settings.symbols]
    if silent or not any(alive):
        span = f"{format_instant(int(bars.closed_at[0]))} to {format_instant(int(bars.closed_at[-1]))}"
        raise DataError(
            f"no bars of {', '.join(silent) or 'any coin'} between data.since and data.until.",
            remedy=f"The lake holds {span}.",
        )
    return cut if all(alive) else cut.coins(np.flatnonzero(alive).tolist())
