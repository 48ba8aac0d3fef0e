"""BitMEX's own description of its contracts, as its answers were saved to files, becomes listings.

The venue closed on 2026-09-23; what it was is on file only. Its quanto contracts, whose size follows the coin that
they settle in, fit no record of ours.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from longshort.base.clock import parse_instant
from longshort.base.errors import DataError
from longshort.base.instrument import BPS, FeeTier, Instrument
from longshort.connect.listing import ContractType, Listing

MARK = {"tickSize", "lotSize", "isInverse"}  # the columns that tell a description from other answers


def describes_contracts(frame: pl.DataFrame) -> bool:
    """True for the rows of BitMEX's `/instrument`."""
    return set(frame.columns) >= MARK


def read_contracts(frame: pl.DataFrame, path: Path, venue: str) -> list[Listing]:
    """The listings in a file; raise `DataError` for a quanto contract or a row that is not whole."""
    try:
        return [_listing(row, path, venue) for row in frame.iter_rows(named=True)]
    except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise DataError(
            "not a whole description of contracts.",
            where=path,
            remedy="Save the answer of /instrument again.",
        ) from error


def _listing(row: Mapping[str, Any], path: Path, venue: str) -> Listing:
    if row["isQuanto"]:
        raise DataError(
            f"{row['symbol']} is a quanto contract, whose money is not modelled.",
            where=path,
            remedy="Leave its description out; its bars can be imported.",
        )
    contract: ContractType = (
        "spot" if row["typ"].startswith("IF") else "future" if row.get("expiry") else "swap"
    )
    base, quote, settle = row["rootSymbol"], row["quoteCurrency"], row["settlCurrency"].upper()
    return Listing(
        unified=f"{_usual(base)}/{quote}:{_usual(settle)}",
        id=row["symbol"],
        instrument=_instrument(row, venue, settle),
        contract=contract,
        active=row["state"] == "Open",
        listed_at=_instant(row.get("listing")),
        expires_at=_instant(row.get("expiry")),
        seen_at=parse_instant(row["timestamp"]),
        max_leverage=1.0 / row["initMargin"] if row.get("initMargin") else None,
    )


def _instrument(row: Mapping[str, Any], venue: str, settle: str) -> Instrument:
    parts = 1 if row["isInverse"] else row.get("underlyingToPositionMultiplier") or 1
    return Instrument(
        symbol=row["symbol"],
        venue=venue,
        base=row["rootSymbol"],
        quote=row["quoteCurrency"],
        settle=settle,
        tick=Decimal(str(row["tickSize"])),
        lot=Decimal(str(row["lotSize"])),
        min_notional=Decimal(0),
        contract_size=1 / Decimal(str(parts)),
        inverse=row["isInverse"],
        fees=(FeeTier(maker_bps=_bps(row["makerFee"]), taker_bps=_bps(row["takerFee"])),),
    )


def _bps(fraction: float) -> float:
    return round(fraction / BPS, 6)


def _usual(coin: str) -> str:
    return "BTC" if coin == "XBT" else coin


def _instant(text: str | None) -> int | None:
    return parse_instant(text) if text else None
