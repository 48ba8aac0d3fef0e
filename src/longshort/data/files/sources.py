"""What a file's name tells: where its rows were traded and of which coin or stock; and what a venue's files are like.

Nothing here opens a file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from longshort.base.errors import DataError
from longshort.base.instrument import lake_symbol

Stamped = Literal["open", "close"]
QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "BTC", "ETH")
EXAMPLE_NAME = "BTCUSDT-1h.csv"
_SPAN = re.compile(r"\d+[SMHDW]?|\d{4}-\d\d(-\d\d)?|DAILY|HISTORY|PRICES|PANEL|RAW|STOCKS|US")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the files of one venue are like.

    `stamped`: the instant that names a bar. `opens_at_last_close`: its bars open at the close before, a price that
    their high and low may leave out. `calendar`: the sessions of a stock exchange.
    """

    stamped: Stamped = "open"
    opens_at_last_close: bool = False
    has_funding: bool = True
    calendar: str = ""


PERPETUALS, SPOT = Source(), Source(has_funding=False)
SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "binance": SPOT,
        "bitfinex": SPOT,
        "kraken": SPOT,
        "bitmex": Source(stamped="close", opens_at_last_close=True),
        "us-stocks": Source(has_funding=False, calendar="XNYS"),
    }
)
VENUES: Mapping[str, Mapping[str, str]] = MappingProxyType(  # by the name's first word, then by its market
    {
        "BINANCE": {"perpetual": "binanceusdm", "spot": "binance"},
        "BINGX": {"perpetual": "bingx"},
        "BITFINEX": {"spot": "bitfinex"},
        "BITGET": {"perpetual": "bitget"},
        "BITMEX": {"perpetual": "bitmex"},
        "BYBIT": {"perpetual": "bybit"},
        "KRAKEN": {"perpetual": "krakenfutures", "spot": "kraken"},
        "OKX": {"perpetual": "okx"},
        "US": {"stocks": "us-stocks"},
    }
)


def source_of(venue: str) -> Source:
    """What the files of a venue are like; one that is not known has perpetuals stamped at the open."""
    return SOURCES.get(venue, SPOT if venue.endswith("-spot") else PERPETUALS)


def venue_in_name(path: Path) -> str:
    """The venue that a file's name begins with; empty where it names none, or no market that is known there.

    A name without the word `spot` is taken for a perpetual's where the venue has any. Binance's contracts that
    settle in coins are no part of USD-M, so a name that is quoted in USD tells none.

    >>> names = "binance_BTCUSDT_1h.csv", "binance_BTCUSDT_spot_1h.csv", "bybit_ETHUSDT_spot.csv", "BTCUSDT.csv"
    >>> [venue_in_name(Path(name)) for name in names]
    ['binanceusdm', 'binance', '', '']
    """
    first, *others = _words(path)
    if first == "BINANCE" and any(re.fullmatch(r"[A-Z0-9]+USD", word) for word in others):
        return ""
    usual = "stocks" if first == "US" else "perpetual"
    market = next((word.lower() for word in others if word in {"SPOT", "STOCKS"}), usual)
    return VENUES.get(first, {}).get(market, "")


def unknown_venue(path: Path) -> DataError:
    """The error for files whose venue must be told."""
    return DataError(
        "its name does not tell where it was traded.",
        where=path,
        remedy="Add --venue, like --venue binanceusdm (perpetuals), --venue binance (spot) or --venue us-stocks.",
    )


def symbol_in_name(path: Path) -> str:
    """The one symbol that a file's name holds; raise `DataError` for none or several.

    >>> symbol_in_name(Path("binance_BTCUSDT_perp_1h.parquet")), symbol_in_name(Path("BTC-PERP_1m.csv"))
    ('BTCUSDT', 'BTC-PERP')
    """
    pattern = rf"([A-Z0-9]{{1,12}}-?(?:{'|'.join(QUOTES)}|PERP))(?=$|-)"
    found = {match[1] for word in _words(path) if (match := re.match(pattern, word))}
    return _only(found, path, EXAMPLE_NAME)


def stock_in_name(path: Path) -> str:
    """The one stock that a file's name holds beside its interval and dates; raise `DataError` for none or several.

    >>> stock_in_name(Path("us_stocks_BRK-B_1d.csv"))
    'BRK-B'
    """
    found = {word for word in _words(path) if not _SPAN.fullmatch(word)}
    return _only(found, path, "AAPL.csv")


def stock_symbol(symbol: str) -> str:
    """A stock's symbol as files are named: classes of shares after a dash, indices without their sign.

    >>> stock_symbol("brk.b"), stock_symbol("BRK/B"), stock_symbol("^GSPC")
    ('BRK-B', 'BRK-B', 'GSPC')
    """
    return re.sub(r"[./]", "-", symbol.strip().upper().removeprefix("^"))


def spellings(symbol: str) -> tuple[str, ...]:
    """How the lake may name what a person wrote: as it stands, as a contract, as a stock."""
    return symbol, lake_symbol(symbol), stock_symbol(symbol)


def _words(path: Path) -> list[str]:
    return re.split(r"[_\s]", path.name.partition(".")[0].upper())


def _only(found: set[str], path: Path, example: str) -> str:
    if len(found) != 1:
        names = " and ".join(sorted(found)) or "none"
        raise DataError(
            f"no symbol column, and its name holds {names}.",
            where=path,
            remedy=f"Name the file for one symbol, like {example}, or add a symbol column.",
        )
    return found.pop()
