"""What each coin's contract looks like: as its venue told and when, or inferred from prices until a venue does.

An inferred tick is the largest usual step of which every recent price is a multiple; volumes tell the lot. What a
venue told is never overwritten: where it tells something new, the newest comes first and holds the earlier ones.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float64

from longshort.base.clock import format_instant, parse_instant
from longshort.base.errors import DataError
from longshort.base.files import write_json
from longshort.base.instrument import FeeTier, Instrument, MaintenanceTier
from longshort.connect.listing import Listing
from longshort.data.files.sources import QUOTES, source_of

INFERRED, TOLD = "inferred from prices", "venue"
RECENT_BARS = 1_000  # venues change ticks over the years: only the latest bars tell today's
FINEST = 8  # decimals; nothing on a venue is finer, and floats are exact to that
CENT = Decimal(
    "0.01"
)  # the tick of stocks; a hundredth of it below a dollar and for prices adjusted for splits
CURRENCIES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("XNYS", "XNAS", "ARCX", "BATS", "XASE"), "USD"),
        **dict.fromkeys(("XAMS", "XBRU", "XETR", "XFRA", "XLIS", "XMAD", "XMIL", "XPAR"), "EUR"),
        "XLON": "GBP",
        "XTKS": "JPY",
        "XHKG": "HKD",
    }
)
NO_CURRENCY = "XXX"  # ISO 4217 for none
COIN_SIZES: Mapping[str, Mapping[str, Decimal]] = MappingProxyType(  # USD in one inverse contract, by coin
    {
        "binancecoinm": {"BTC": Decimal(100), "": Decimal(10)},
        "bitmex": {"XBT": Decimal(1)},
        "bybit": {"": Decimal(1)},
    }
)
QUANTOS: Mapping[str, str] = MappingProxyType({"bitmex": "XBT"})  # what any other contract in USD settles in
COIN_QUOTES = ("USDT", "USDC", "USD")  # where XBTUSD and BNBUSD are quoted in no TUSD or BUSD
FILE = "instruments.json"


def infer_instrument(venue: str, symbol: str, rows: pl.DataFrame, *, calendar: str = "") -> Instrument:
    """Read tick and lot off the latest bars, and the rest off the symbol; with a calendar it is a stock."""
    recent = rows.tail(RECENT_BARS)
    tick = smallest_step(recent.select("open", "high", "low", "close").to_numpy().ravel())
    if calendar:
        return _stock(venue, symbol, calendar, min(max(tick, CENT / 100), CENT))
    sizes = COIN_SIZES.get(venue, {})
    base, quote, settle = split_symbol(symbol, COIN_QUOTES if sizes else QUOTES)
    size = sizes.get(base, sizes.get("")) if quote == "USD" else None
    settle = QUANTOS.get(venue, settle) if quote == "USD" else settle
    return Instrument(
        symbol=symbol,
        venue=venue,
        base=base,
        quote=quote,
        settle=base if size else settle,
        tick=tick,
        lot=smallest_step(recent["volume"].to_numpy()),
        contract_size=size or Decimal(1),
        inverse=size is not None or settle == base,
        has_funding=source_of(venue).has_funding,
    )


def _stock(venue: str, symbol: str, calendar: str, tick: Decimal) -> Instrument:
    currency = CURRENCIES.get(calendar, NO_CURRENCY)
    return Instrument(
        symbol=symbol,
        venue=venue,
        base=symbol,
        quote=currency,
        settle=currency,
        tick=tick,
        lot=Decimal(1),
        min_notional=Decimal(0),
        has_funding=False,
        calendar=calendar,
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


def split_symbol(symbol: str, quotes: Sequence[str] = QUOTES) -> tuple[str, str, str]:
    """The base, quote and settling currency that a symbol names; USD where it names none.

    DOTUSD is DOT in USD, not DO in TUSD: a base has three letters, where that decides.

    >>> split_symbol("BTCUSDT"), split_symbol("BTC-PERP"), split_symbol("BTCUSD.BTC-251226")
    (('BTC', 'USDT', 'USDT'), ('BTC', 'USD', 'USD'), ('BTC', 'USD', 'BTC'))
    """
    pair, _, settle = re.sub(r"([-_.]?(PERP|SWAP|SPOT)|-\d{6})$", "", symbol.upper()).partition(".")
    bases = {quote: pair.removesuffix(quote).rstrip("-_/") for quote in quotes if pair.endswith(quote)}
    known = sorted((q for q in bases if bases[q]), key=lambda q: (len(bases[q]) < 3, quotes.index(q)))
    quote = known[0] if known else "USD"
    return bases.get(quote) or pair, quote, settle or quote


def read_instruments(folder: Path, *, as_of: int | None = None) -> dict[str, Instrument]:
    """The instruments on record for one venue, by symbol; none where there is no file.

    With `as_of` as they were known at that instant: those first seen later are left out.
    """
    path = folder / FILE
    try:
        found = {symbol: _seen_by(entry, as_of) for symbol, entry in _read(path).items()}
        return {s: _from_json(folder.name, s, entry) for s, entry in found.items() if entry is not None}
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise DataError(
            "the file is damaged.", where=path, remedy="Delete it; ticks are inferred from prices again."
        ) from error


def record_inferred(folder: Path, found: Mapping[str, tuple[Instrument, str]]) -> None:
    """Keep inferred instruments, each with when it was seen; never touch one that the venue itself told."""
    table = _read(folder / FILE)
    for symbol, (instrument, seen_at) in found.items():
        entry = _to_json(instrument) | {"seen_at": seen_at, "source": INFERRED}
        if table.get(symbol, entry)["source"] == INFERRED:
            table[symbol] = entry
    write_json(folder / FILE, dict(sorted(table.items())))


def record_listed(folder: Path, listings: Iterable[Listing]) -> None:
    """Keep what a venue told, `folder` being the venue's in the lake; what differs from before adds to it.

    An entry's `seen_at` is when that state of things was seen first. Inferred entries make way.
    """
    table = _read(folder / FILE)
    for listing in listings:
        old = table.get(listing.instrument.symbol)
        told = [e for e in [old, *old.pop("earlier", [])] if e["source"] == TOLD] if old else []
        table[listing.instrument.symbol] = _history([*told, _listed(listing)])
    write_json(folder / FILE, dict(sorted(table.items())))


def _history(told: list[dict[str, Any]]) -> dict[str, Any]:
    """The newest entry with the earlier ones inside; of equal ones in a row the first stands."""
    in_order = sorted(told, key=lambda entry: parse_instant(entry["seen_at"]))
    runs = groupby(in_order, key=lambda entry: {k: v for k, v in entry.items() if k != "seen_at"})
    newest, *earlier = reversed([next(run) for _, run in runs])
    return newest | ({"earlier": earlier} if earlier else {})


def _seen_by(entry: dict[str, Any], as_of: int | None) -> dict[str, Any] | None:
    if as_of is None:
        return entry
    entries: list[dict[str, Any]] = [entry, *entry.get("earlier", [])]
    return next((e for e in entries if parse_instant(e["seen_at"]) <= as_of), None)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _listed(listing: Listing) -> dict[str, Any]:
    instrument = listing.instrument
    funded = instrument.has_funding and listing.contract == "swap"
    return _to_json(replace(instrument, has_funding=funded)) | {
        "unified": listing.unified,
        "id": listing.id,
        "contract": listing.contract,
        "active": listing.active,
        "listed_at": _as_text(listing.listed_at),
        "expires_at": _as_text(listing.expires_at),
        "max_leverage": listing.max_leverage,
        "tiers": [asdict(tier) for tier in listing.tiers],
        "seen_at": format_instant(listing.seen_at),
        "source": TOLD,
    }


def _as_text(instant: int | None) -> str | None:
    return None if instant is None else format_instant(instant)


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
        "has_funding": instrument.has_funding,
        "calendar": instrument.calendar,
        "fees": [asdict(tier) for tier in instrument.fees],
    }


def _from_json(venue: str, symbol: str, entry: dict[str, Any]) -> Instrument:
    usual = Instrument.__dataclass_fields__["fees"].default
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
        has_funding=bool(entry.get("has_funding", True)),
        calendar=entry.get("calendar", ""),
        fees=tuple(FeeTier(**tier) for tier in entry["fees"]) if "fees" in entry else usual,
        tiers=tuple(_tier(tier) for tier in entry.get("tiers", ())),
        expires_at=parse_instant(entry["expires_at"]) if entry.get("expires_at") else None,
        max_leverage=float(entry["max_leverage"]) if entry.get("max_leverage") else None,
    )


def _tier(told: dict[str, Any]) -> MaintenanceTier:
    """One tier; JSON has no infinity, so the last ends at null."""
    return MaintenanceTier(
        **{name: math.inf if value is None else float(value) for name, value in told.items()}
    )
