"""What each coin's contract looks like: on record in the lake, or inferred from prices until a venue says.

An inferred tick is the largest usual step of which every recent price is a multiple; volumes tell the lot.
"""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float64

from longshort.base.errors import DataError
from longshort.base.files import write_json
from longshort.base.instrument import Instrument

INFERRED = "inferred from prices"
RECENT_BARS = 1_000  # venues change ticks over the years: only the latest bars tell today's
FINEST = 8  # decimals; nothing on a venue is finer, and floats are exact to that
QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "BTC", "ETH")
FILE = "instruments.json"


def infer_instrument(venue: str, symbol: str, rows: pl.DataFrame) -> Instrument:
    """Read tick and lot off the latest bars."""
    recent = rows.tail(RECENT_BARS)
    prices = recent.select("open", "high", "low", "close").to_numpy().ravel()
    base, quote = split_symbol(symbol)
    return Instrument(
        symbol=symbol,
        venue=venue,
        base=base,
        quote=quote,
        settle=quote,
        tick=smallest_step(prices),
        lot=smallest_step(recent["volume"].to_numpy()),
    )


def smallest_step(values: Float64[np.ndarray, " value"]) -> Decimal:
    """The largest 1, 2 or 5 x power of ten of which all values are multiples, down to eight decimals.

    Other multiples are accidents: a price that stood at 19.36 all along has no tick of 19.36.

    >>> smallest_step(np.array([19.36, 19.36])), smallest_step(np.array([100.0, 250.0]))
    (Decimal('0.02'), Decimal('50'))
    """
    decimals = next((d for d in range(FINEST) if _are_whole(values * 10.0**d)), FINEST)
    whole = np.round(values * 10.0**decimals).astype(np.int64)
    common = int(np.gcd.reduce(whole)) or 1
    steps = (m * 10**k for k in range(len(str(common)), -1, -1) for m in (5, 2, 1))
    return Decimal(next(s for s in steps if common % s == 0)).scaleb(-decimals)


def _are_whole(scaled: Float64[np.ndarray, " value"]) -> bool:
    return bool((np.abs(scaled - np.round(scaled)) <= 4 * np.spacing(np.abs(scaled))).all())


def split_symbol(symbol: str) -> tuple[str, str]:
    """The base and quote currency that a symbol names; USD where it names none.

    >>> split_symbol("BTCUSDT"), split_symbol("BTC-PERP"), split_symbol("AAPL")
    (('BTC', 'USDT'), ('BTC', 'USD'), ('AAPL', 'USD'))
    """
    bare = re.sub(r"[-_.]?(PERP|SWAP|SPOT)$", "", symbol.upper())
    for quote in QUOTES:
        base = bare.removesuffix(quote).rstrip("-_./")
        if bare.endswith(quote) and base:
            return base, quote
    return bare, "USD"


def read_instruments(folder: Path) -> dict[str, Instrument]:
    """The instruments on record for one venue, by symbol; none where there is no file."""
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        table: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return {symbol: _from_json(folder.name, symbol, entry) for symbol, entry in table.items()}
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise DataError(
            "the file is damaged.", where=path, remedy="Delete it; ticks are inferred from prices again."
        ) from error


def record_inferred(folder: Path, found: dict[str, tuple[Instrument, str]]) -> None:
    """Keep inferred instruments, each with when it was seen; never touch one that the venue itself told."""
    path = folder / FILE
    table: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for symbol, (instrument, seen_at) in found.items():
        entry = _to_json(instrument) | {"seen_at": seen_at, "source": INFERRED}
        if table.get(symbol, entry)["source"] == INFERRED:
            table[symbol] = entry
    write_json(path, dict(sorted(table.items())))


def _to_json(instrument: Instrument) -> dict[str, Any]:
    return {
        "base": instrument.base,
        "quote": instrument.quote,
        "settle": instrument.settle,
        "tick": str(instrument.tick),
        "lot": str(instrument.lot),
        "min_notional": str(instrument.min_notional),
        "contract_size": str(instrument.contract_size),
        "inverse": instrument.inverse,
    }


def _from_json(venue: str, symbol: str, entry: dict[str, Any]) -> Instrument:
    return Instrument(
        symbol=symbol,
        venue=venue,
        base=entry["base"],
        quote=entry["quote"],
        settle=entry["settle"],
        inverse=bool(entry["inverse"]),
        tick=Decimal(entry["tick"]),
        lot=Decimal(entry["lot"]),
        min_notional=Decimal(entry["min_notional"]),
        contract_size=Decimal(entry["contract_size"]),
    )
