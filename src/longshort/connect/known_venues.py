"""What is known about each venue before it is asked: page sizes, windows, histories, habits. Only a table.

Figures are from the venues' documentation and ccxt's source; what the tests do not run may have aged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from longshort.base.clock import DAY, parse_instant
from longshort.base.errors import VenueError

Kind = Literal["bars", "mark", "index", "funding", "open-interest"]
Paging = Literal["windows", "pages", "whole"]
_NOTHING: Mapping[Any, Any] = MappingProxyType({})
_NONE = frozenset[Kind]()


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """What is known about one venue; the defaults are for venues of which nothing is.

    `rows` is how many rows one call gives. `volumes` are the columns of the venue's own candles that count base
    coins (linear) and contracts (inverse); without them ccxt's volume is taken. `counts_contracts`: ccxt's volume
    and open interest of linear contracts are in contracts. `pause_ms` keeps calls apart where a kind has a limit of
    its own. `settles` tells how often funding is paid. `widest` is the longest window of one call. `history` is how far
    back the venue remembers, in ns or in rows.

    `interest` has the steps of open interest, where some are lacking. `early_since`: samples of open interest that are
    stamped from then on may have been taken up to five minutes later, and count as taken then. Binance's archive
    stamps them so (binance-public-data, issue 491); of its REST interface it is not known, and a sample that is
    five minutes old does less harm than one from the future.
    """

    id: str
    name: str
    contracts: tuple[str, ...] = ()
    rows: Mapping[Kind, int] = field(default_factory=lambda: _NOTHING)
    until: bool = False
    funding_end: str = "until"
    funding: Paging = "windows"
    newest_first: bool | None = None
    history: Mapping[Kind, int] = field(default_factory=lambda: _NOTHING)
    history_rows: Mapping[Kind, int] = field(default_factory=lambda: _NOTHING)
    pause_ms: Mapping[Kind, int] = field(default_factory=lambda: _NOTHING)
    widest: int = 0
    interest: tuple[str, ...] = ()
    early_since: int | None = None
    volumes: tuple[int, int] | None = None
    counts_contracts: frozenset[Kind] = _NONE
    linear_only: frozenset[Kind] = _NONE
    settles: str = "as the venue says"
    archive: bool = False
    options: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    page_params: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    finds_by_client_id: bool = False
    public_tiers: bool = False
    lacks_intervals: tuple[str, ...] = ()
    no_orders: str = ""


_BINANCE: Mapping[str, Any] = MappingProxyType(
    {
        "rows": MappingProxyType(
            # 499 bars cost 2 weights, 1000 cost 5: the smaller page is the faster download
            {"bars": 499, "mark": 499, "index": 499, "funding": 1000, "open-interest": 500}
        ),
        "until": True,
        "newest_first": False,
        "history": MappingProxyType({"open-interest": 30 * DAY}),
        "pause_ms": MappingProxyType(
            {"funding": 600, "open-interest": 300}
        ),  # 500 and 1000 calls per 5 minutes
        "volumes": (5, 5),
        "archive": True,
        "finds_by_client_id": True,
        "lacks_intervals": ("1s",),
    }
)

VENUES: Mapping[str, Venue] = MappingProxyType(
    {
        venue.id: venue
        for venue in (
            Venue(
                id="binanceusdm",
                name="Binance USD-M futures",
                contracts=("linear", "dated"),
                settles="8 h, some coins 4 h or 1 h",
                early_since=parse_instant("2026-06-25"),  # of the archive it is known, of REST it is not
                **_BINANCE,
            ),
            Venue(
                id="binancecoinm",
                name="Binance COIN-M futures",
                contracts=("inverse", "dated"),
                widest=200 * DAY,
                settles="8 h",
                early_since=0,
                **_BINANCE,
            ),
            Venue(
                id="bybit",
                name="Bybit",
                contracts=("linear", "inverse", "dated"),
                rows=MappingProxyType(
                    {"bars": 1000, "mark": 1000, "index": 1000, "funding": 200, "open-interest": 200}
                ),
                until=True,
                newest_first=True,
                volumes=(5, 5),
                interest=("5m", "15m", "30m", "1h", "4h", "1d"),
                settles="8 h, some coins 4 h to 1 h",
                options=MappingProxyType({"fetchMarkets": {"types": ["linear", "inverse"]}}),
                public_tiers=True,
            ),
            Venue(
                id="bitget",
                name="Bitget",
                contracts=("linear", "inverse"),
                rows=MappingProxyType({"bars": 200, "mark": 200, "index": 200, "funding": 100}),
                until=True,
                funding="pages",
                widest=90 * DAY,
                volumes=(5, 6),
                settles="8 h, some coins 4 h",
                options=MappingProxyType({"fetchMarkets": {"types": ["swap"]}}),
                page_params=MappingProxyType({"uta": False}),  # the older interface gives longer pages
                finds_by_client_id=True,
                public_tiers=True,
            ),
            Venue(
                id="bingx",
                name="BingX",
                contracts=("linear", "inverse"),
                rows=MappingProxyType({"bars": 1000, "mark": 1000, "funding": 1000}),
                until=True,
                settles="8 h",
                linear_only=frozenset[Kind]({"mark", "funding"}),
            ),
            Venue(
                id="okx",
                name="OKX",
                contracts=("linear", "inverse", "dated"),
                rows=MappingProxyType(
                    {"bars": 300, "mark": 100, "index": 100, "funding": 100, "open-interest": 100}
                ),
                until=True,
                funding_end="after",
                newest_first=True,
                history=MappingProxyType({"funding": 90 * DAY}),
                volumes=(6, 5),
                counts_contracts=frozenset[Kind]({"open-interest"}),
                interest=("5m", "1h"),  # the days that ccxt asks for are those of Hong Kong
                settles="8 h, some coins 4 h or 2 h",
                options=MappingProxyType({"fetchMarkets": {"types": ["future", "swap"]}}),
                finds_by_client_id=True,
                public_tiers=True,
            ),
            Venue(
                id="krakenfutures",
                name="Kraken Futures",
                contracts=("linear", "inverse", "dated"),
                rows=MappingProxyType({"bars": 2000, "mark": 2000, "index": 2000}),
                funding="whole",
                settles="1 h, stamped at its start",
                public_tiers=True,
            ),
            Venue(
                id="hyperliquid",
                name="Hyperliquid",
                contracts=("linear",),
                rows=MappingProxyType({"bars": 5000, "funding": 500}),
                history_rows=MappingProxyType({"bars": 5000}),
                until=True,
                newest_first=False,
                settles="1 h",
                options=MappingProxyType({"builderFee": False, "approvedBuilderFee": True, "refSet": True}),
                no_orders="ccxt's client signs a builder fee and a referral with the user's key",
            ),
            Venue(id="gate", name="Gate", counts_contracts=frozenset[Kind]({"bars"})),
            Venue(id="kucoinfutures", name="KuCoin Futures", counts_contracts=frozenset[Kind]({"bars"})),
            Venue(id="mexc", name="MEXC", counts_contracts=frozenset[Kind]({"bars"})),
        )
    }
)

CLOSED: Mapping[str, VenueError] = MappingProxyType(
    {
        "bitmex": VenueError(
            "BitMEX stopped trading on 2026-09-23 and ccxt has no class for it.",
            where="bitmex",
            remedy="Its history can be imported from files with `longshort import --venue bitmex FILES`.",
        )
    }
)

MEANT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # what people call a venue, or its id for spot, without signs
        "binance": ("binanceusdm", "binancecoinm"),
        "binancefutures": ("binanceusdm", "binancecoinm"),
        "binanceus": ("binanceusdm", "binancecoinm"),
        "cryptofacilities": ("krakenfutures",),
        "gateio": ("gate",),
        "huobi": ("htx",),
        "kraken": ("krakenfutures",),
        "kucoin": ("kucoinfutures",),
        "okex": ("okx",),
    }
)
