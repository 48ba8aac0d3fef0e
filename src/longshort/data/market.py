"""Bars for a study: from the lake or from the embedded market, on one grid of closing instants.

Nothing is filled: a bar that is not on record is absent, and a bar in which a settlement may be missing has no
funding coverage. What is broken is refused, and what was changed is told: bars know their `origins` and `changes`.
"""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from longshort.base.calendar import AlwaysOpen, Calendar, find_calendar
from longshort.base.clock import HOUR, Interval, format_instant, parse_instant
from longshort.base.errors import DataError
from longshort.base.instrument import Instrument
from longshort.base.settings import DataSettings
from longshort.data.bars import Bars, Gauge, Origin
from longshort.data.certificate.certificates import Certificate
from longshort.data.certificate.certify import Report, certificates_of, quietly, refuse_broken
from longshort.data.certificate.cleaning import clean
from longshort.data.files.sources import spellings
from longshort.data.funding import Settlements
from longshort.data.gauges import measured, sampled, spot, there
from longshort.data.grid import MILLISECOND, assemble
from longshort.data.instruments import infer_instrument, read_instruments
from longshort.data.lake import FUNDING, Lake, Series
from longshort.data.simulator import Simulation, simulate_market
from longshort.data.textbook import GJR_ASYMMETRY, punched, simulate_garch

NO_SETTLEMENTS = Settlements(settled_at=np.zeros(0, dtype=np.int64), rate=np.zeros(0))


def load_bars(settings: DataSettings, folder: Path = Path(), *, report: Report = quietly) -> Bars:
    """The market that a study names, which lies in `folder`; raise `DataError` where it cannot be had.

    Series without a certificate that holds are looked over first, of which `report` hears; one that is graded broken
    is refused unless the study accepts it by name. What cleaning takes out it takes out by what was known then.
    """
    if settings.source == "embedded":
        bars = _embedded(settings)
    else:
        bars = _from_lake(Lake(find_lake(settings.lake, folder)), settings, report)
    wanted = _wanted(bars, settings)
    cleaned = clean(bars, settings.cleaning, counted=wanted)
    return _alive(_trim(cleaned[wanted]), settings, cleaned)


def find_lake(lake: str, folder: Path) -> Path:
    """`LONGSHORT_LAKE`, else the study's own, else the lake in the study's folder, else the one beside it."""
    named = os.environ.get("LONGSHORT_LAKE", "")
    if named or lake:
        chosen = Path(named) if named else folder / lake
        if not chosen.is_dir():
            raise DataError(
                "no such lake.",
                where=chosen,
                remedy="Fill one with `longshort fetch` or `longshort import FILES...`.",
            )
        return chosen
    for chosen in (folder / "lake", folder.absolute().parent / "lake"):
        if chosen.is_dir():
            return chosen
    raise DataError(
        "no lake in the study's folder or beside it.",
        where=folder.absolute(),
        remedy='Fill one with `longshort fetch` or `longshort import FILES...`, or set data.source = "embedded".',
    )


def _embedded(settings: DataSettings) -> Bars:
    if Interval.parse(settings.interval).ns != HOUR:
        raise DataError(
            "the embedded market has hourly bars only.", where="data.interval", remedy='Write "1h".'
        )
    if not isinstance(find_calendar(settings.calendar), AlwaysOpen):
        raise DataError(
            "the embedded market is always open.", where="data.calendar", remedy='Leave it empty: "".'
        )
    bars = simulation_of(settings).bars
    if settings.embedded_missing:
        bars = punched(bars, settings.embedded_missing, settings.embedded_seed)
    chosen = choose(settings.symbols, bars.symbols, "the embedded market")
    return bars.coins([bars.symbols.index(s) for s in chosen])


def simulation_of(settings: DataSettings) -> Simulation:
    """The embedded market that a study's settings name, before any bar is taken from it, and its law."""
    shape, seed = (settings.embedded_coins, settings.embedded_bars), settings.embedded_seed
    if settings.embedded_law == "market":
        return simulate_market(
            *shape, edge=settings.embedded_edge, season=settings.embedded_season, seed=seed
        )
    if settings.embedded_edge or settings.embedded_season:
        raise DataError(
            f"nothing can be planted into a {settings.embedded_law} market.",
            where="data.embedded_law",
            remedy='Write "market", or leave data.embedded_edge and data.embedded_season at 0.',
        )
    return simulate_garch(
        *shape, asymmetry=GJR_ASYMMETRY if settings.embedded_law == "gjr" else 0.0, seed=seed
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The series of each chosen coin: its bars, its funding, and what else was measured, where it is on record."""

    bars: list[Series]
    funding: list[Series | None]
    gauges: dict[Gauge, list[Series | None]]

    @property
    def all(self) -> list[Series]:
        """Every series, coin by coin."""
        coins = zip(self.bars, self.funding, *self.gauges.values(), strict=True)
        return [series for coin in coins for series in coin if series]


def series_of(lake: Lake, settings: DataSettings) -> list[Series]:
    """Every series that a study reads from its lake, coin by coin; raise `DataError` where one is not there."""
    return columns_of(lake, settings).all


def columns_of(lake: Lake, settings: DataSettings) -> Columns:
    """The same, in the order that bars are laid in."""
    interval = Interval.parse(settings.interval)
    venue = _venue(lake, settings.venue)
    chosen = _chosen(lake, venue, interval, settings.symbols)
    gauges = measured(lake, venue, interval, chosen)
    if settings.spot_venue:
        gauges["spot_close"] = spot(lake, settings.spot_venue, interval, chosen)
    return Columns(
        bars=[Series.bars(venue, interval, symbol) for symbol in chosen],
        funding=[there(lake, Series(venue, FUNDING, symbol)) for symbol in chosen],
        gauges=gauges,
    )


def _from_lake(lake: Lake, settings: DataSettings, report: Report) -> Bars:
    columns = columns_of(lake, settings)
    certificates = certificates_of(lake, columns.all, calendar=settings.calendar, report=report)
    refuse_broken(certificates, settings.accept_broken)
    laid = lay(lake, columns, settings)
    origins = [(origin_of(c), c.venue == columns.bars[0].venue) for c in certificates]
    return replace(
        laid, origins=tuple(o if is_own else replace(o, kind=f"spot {o.kind}") for o, is_own in origins)
    )


def lay(lake: Lake, columns: Columns, settings: DataSettings) -> Bars:
    """What a lake holds of some series on one grid, as it was told; the rows are read with `lake.read`."""
    rows = {series.symbol: lake.read(series) for series in columns.bars}
    instruments = _instruments(lake, columns.bars[0].venue, settings.calendar, rows)
    calendar = _calendar(settings.calendar, instruments)
    if not isinstance(calendar, AlwaysOpen):
        instruments = [replace(i, has_funding=False) for i in instruments]
    return assemble(
        Interval.parse(settings.interval),
        instruments,
        list(rows.values()),
        [_settlements(lake.read(series)) if series else NO_SETTLEMENTS for series in columns.funding],
        calendar=calendar,
        gauges={name: [sampled(lake, s) for s in column] for name, column in columns.gauges.items()},
    )


def origin_of(certificate: Certificate) -> Origin:
    """What bars tell of a series that they were made of."""
    return Origin(
        symbol=certificate.symbol,
        kind=certificate.kind,
        grade=certificate.grade,
        rows=certificate.rows,
        missing=certificate.missing,
        findings=certificate.reasons,
        digest=certificate.digest,
    )


def _chosen(lake: Lake, venue: str, interval: Interval, wanted: Sequence[str]) -> list[str]:
    known = [s.symbol for s in lake.series(venue, f"bars-{interval}")]
    if not known:
        raise DataError(
            f"no {interval} bars in the lake.", where=lake.root / venue, remedy=_intervals(lake, venue)
        )
    return choose(wanted, known, f"the lake's {interval} bars of {venue}")


def _instruments(lake: Lake, venue: str, calendar: str, rows: Mapping[str, pl.DataFrame]) -> list[Instrument]:
    recorded = read_instruments(lake.root / venue)
    return [recorded.get(s) or infer_instrument(venue, s, r, calendar=calendar) for s, r in rows.items()]


def _calendar(wanted: str, instruments: Sequence[Instrument]) -> Calendar:
    names = sorted({i.calendar for i in instruments})
    if not wanted and len(names) > 1:
        raise DataError(
            f"the chosen symbols trade in different sessions: {', '.join(n or '24/7' for n in names)}.",
            where="data.symbols",
            remedy="Choose those of one market, or set data.calendar.",
        )
    return find_calendar(wanted or names[0])


def _settlements(rows: pl.DataFrame) -> Settlements:
    settled_at = rows["settled_at"].to_physical().to_numpy() * MILLISECOND
    return Settlements(settled_at=settled_at, rate=rows["rate"].to_numpy())


def _venue(lake: Lake, wanted: str) -> str:
    venues = sorted({s.venue for s in lake.series() if s.interval})
    if wanted in venues:
        return wanted
    if not venues:
        raise DataError(
            "the lake holds no bars.",
            where=lake.root,
            remedy="Fill it with `longshort fetch` or `longshort import FILES...`.",
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


def choose(wanted: Sequence[str], known: Sequence[str], place: str) -> list[str]:
    """The wanted symbols as the lake spells them, or all; raise `DataError` with the nearest for an unknown one."""
    chosen: list[str] = []
    for symbol in wanted:
        found = [spelt for spelt in spellings(symbol) if spelt in known]
        if not found:
            raise DataError(
                f"{symbol} is not in {place}.", where="data.symbols", remedy=_known(symbol, known)
            )
        chosen.append(found[0])
    if len(set(chosen)) < len(chosen):
        raise DataError("a coin is named twice.", where="data.symbols")
    return chosen or list(known)


def _known(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]}?" if close else f"Known are: {', '.join(known)}."


def _wanted(bars: Bars, settings: DataSettings) -> slice:
    """The rows that opened at or after `since` and closed by `until`."""
    first = parse_instant(settings.since) if settings.since else int(bars.opened_at[0])
    end = len(bars.until(parse_instant(settings.until))) if settings.until else len(bars)
    return slice(min(int(np.searchsorted(bars.opened_at, first)), end), end)


def _trim(bars: Bars) -> Bars:
    """Leave out rows before the first bar of any coin and after the last: they say nothing."""
    rows = np.flatnonzero(bars.present.any(axis=1))
    return bars[int(rows[0]) : int(rows[-1]) + 1] if len(rows) else bars


def _alive(bars: Bars, settings: DataSettings, whole: Bars) -> Bars:
    """Keep coins that have any bars; raise `DataError` where one that the study names has none."""
    alive = [bool(column.any()) for column in bars.present.T]
    silent = [s for s, lives in zip(bars.symbols, alive, strict=True) if not lives and settings.symbols]
    if silent or not any(alive):
        span = f"{format_instant(int(whole.closed_at[0]))} to {format_instant(int(whole.closed_at[-1]))}"
        raise DataError(
            f"no bars of {', '.join(silent) or 'any coin'} between data.since and data.until.",
            remedy=f"The lake holds {span}.",
        )
    return bars if all(alive) else bars.coins(np.flatnonzero(alive).tolist())
