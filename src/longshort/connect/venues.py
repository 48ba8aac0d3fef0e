"""Venues by name, what each offers, and its ccxt client; nothing here asks a venue anything.

A venue that the table does not know works from what ccxt says about it, with cautious pages.
"""

import difflib
import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from longshort.base.clock import DAY, Interval
from longshort.base.errors import MissingExtra, VenueError
from longshort.connect.known_venues import CLOSED, MEANT, VENUES, Kind, Venue

HAS: Mapping[Kind, str] = MappingProxyType(
    {
        "bars": "fetchOHLCV",
        "mark": "fetchMarkOHLCV",
        "index": "fetchIndexOHLCV",
        "funding": "fetchFundingRateHistory",
        "open-interest": "fetchOpenInterestHistory",
    }
)
CAUTIOUS_ROWS = 100  # a page that every venue gives
ALIKE, AS_ALIKE = 0.6, 0.12  # names this much alike, and nearly as much as the most alike one
MODEST_ROWS = 500  # ccxt's word for a page is taken up to here


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What `longshort venues` tells of a venue; `history_*` have the kinds whose past is short, in days or in rows."""

    venue: str
    name: str
    contracts: tuple[str, ...]
    intervals: tuple[str, ...]
    page_rows: int
    kinds: tuple[Kind, ...]
    history_days: dict[Kind, int]
    history_rows: dict[Kind, int]
    settles: str
    archive: bool
    sandbox: bool
    websocket_bars: bool


def find_venue(name: str) -> Venue:
    """The venue of a ccxt id; raise `VenueError` with the nearest names for anything else.

    >>> find_venue("bybit").rows["bars"]
    1000
    """
    wanted = name.strip().lower()
    if wanted in CLOSED:
        closed = CLOSED[wanted]
        raise VenueError(closed.what, where=closed.where, remedy=closed.remedy)
    if wanted in VENUES:
        return VENUES[wanted]
    if wanted in ccxt_ids() and wanted not in MEANT:
        return _unlisted(wanted)
    near = _nearest(re.sub(r"[^a-z0-9]", "", wanted))
    raise VenueError(
        f"there is no futures venue of the name {name!r}.",
        where="venue",
        remedy=f"Did you mean {' or '.join(near)}?" if near else "`longshort venues` lists what there is.",
    )


def has_futures(client: Any) -> bool:
    """True where ccxt knows perpetuals or dated futures of the venue."""
    return bool(client.has.get("swap") or client.has.get("future"))


def _unlisted(name: str) -> Venue:
    """A venue that the table lacks: with the habits of the one whose client ccxt's own builds on, if any."""
    parents = (VENUES[kind.__name__] for kind in getattr(_ccxt(), name).__mro__ if kind.__name__ in VENUES)
    return replace(next(parents, Venue(id=name, name=name)), id=name, name=name)


def _nearest(plain: str) -> list[str]:
    """What may be meant, best first, as ids of venues that have futures."""
    likeness = {
        name: difflib.SequenceMatcher(None, name, plain).ratio() for name in {*VENUES, *MEANT, *ccxt_ids()}
    }
    enough = max(ALIKE, max(likeness.values()) - AS_ALIKE)
    alike = sorted((name for name in likeness if likeness[name] >= enough), key=lambda n: (-likeness[n], n))
    names = [plain] if plain in MEANT else alike
    meant = dict.fromkeys(venue for name in names for venue in MEANT.get(name, (name,)))
    return [v for v in meant if v in VENUES or has_futures(getattr(_ccxt(), v)())][:3]


def ccxt_ids() -> Sequence[str]:
    """Every venue that ccxt knows."""
    return tuple(_ccxt().exchanges)


def make_client(venue: Venue, settings: Mapping[str, Any]) -> Any:
    """A new client of ccxt: with WebSocket where ccxt has it, else without. Nothing is asked yet."""
    ccxt = _ccxt()
    try:
        pro = importlib.import_module("ccxt.pro")
        room = pro if venue.id in pro.exchanges else importlib.import_module("ccxt.async_support")
    except ImportError as error:
        raise MissingExtra("ccxt", "exchange") from error
    assert venue.id in ccxt.exchanges
    return getattr(room, venue.id)(dict(settings))


def capabilities(name: str) -> Capabilities:
    """What a venue offers, from ccxt's tables and ours; nothing is asked.

    A kind that ccxt offers for some contracts only counts as offered.
    """
    venue = find_venue(name)
    client = make_client(venue, {})
    return Capabilities(
        venue=venue.id,
        name=venue.name,
        contracts=venue.contracts
        or tuple(kind for kind in ("swap", "future", "spot") if client.has.get(kind)),
        intervals=tuple(str(interval) for interval in intervals(venue, client)),
        page_rows=page_rows(venue, client, "bars"),
        kinds=tuple(kind for kind in HAS if offers(client, kind)),
        history_days={kind: past // DAY for kind, past in venue.history.items()},
        history_rows=dict(venue.history_rows),
        settles=venue.settles,
        archive=venue.archive,
        sandbox=bool(client.urls.get("test") or _feature(client, "sandbox")),
        websocket_bars=bool(client.has.get("watchOHLCV")),
    )


def offers(client: Any, kind: Kind) -> bool:
    """True where ccxt can ask the venue for this kind; one that ccxt only emulates has no history."""
    return client.has.get(HAS[kind]) is True


def page_rows(venue: Venue, client: Any, kind: Kind) -> int:
    """How many rows one call gives; where neither we nor ccxt know, a number that every venue gives."""
    if kind in venue.rows:
        return venue.rows[kind]
    said = (_feature(client, HAS[kind]) or {}).get("limit")
    return min(int(said), MODEST_ROWS) if said else CAUTIOUS_ROWS


def _feature(client: Any, name: str) -> Any:
    """What ccxt says of a venue's linear perpetuals; None where it is silent."""
    said: Any = client.features or {}
    for step in ("swap", "linear", name):
        said = said.get(step) if isinstance(said, dict) else None
    return said


def intervals(venue: Venue, client: Any) -> tuple[Interval, ...]:
    """The bar lengths that a venue has, shortest first; calendar months are no fixed length and left out."""
    names = [name for name in client.timeframes or () if name not in venue.lacks_intervals]
    found = {Interval.parse(name) for name in names if re.fullmatch(r"[1-9]\d*[smhdw]", name)}
    return tuple(sorted(found, key=lambda interval: interval.ns))


def _ccxt() -> Any:
    try:
        return importlib.import_module("ccxt")
    except ImportError as error:
        raise MissingExtra("ccxt", "exchange") from error
