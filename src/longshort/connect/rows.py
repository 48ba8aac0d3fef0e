"""How rows of each kind are asked of ccxt, and made columns of the lake. One window, one answer or what it takes.

Nothing is judged here: rows outside the window, doubled or unfinished ones are `pages.py`'s matter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from longshort.base.clock import DAY, HOUR, MINUTE, Interval
from longshort.base.window import Window
from longshort.connect.exchange import Exchange
from longshort.connect.guard import RAW_CANDLES
from longshort.connect.known_venues import Kind
from longshort.connect.listing import Listing
from longshort.connect.pacing import MILLISECOND

INSTANT = pl.Datetime("ms", "UTC")
PRICES = ("open", "high", "low", "close")
COLUMNS: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        "bars": ("opened_at", *PRICES, "volume"),
        "mark": ("opened_at", *PRICES),
        "index": ("opened_at", *PRICES),
        "funding": ("settled_at", "rate"),
        "open-interest": ("sampled_at", "open_interest"),
    }
)
CADENCE = 8 * HOUR  # of funding, at its slowest
EVER = 100 * 365 * DAY
SAMPLE = 5 * MINUTE  # between two samples of open interest, at their closest


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What pages are asked of."""

    exchange: Exchange
    kind: Kind
    listing: Listing
    interval: Interval | None

    @property
    def step(self) -> int:
        """The length of a bar, or between two samples, in ns."""
        assert self.interval is not None, f"{self.kind} needs an interval"
        return self.interval.ns

    @property
    def is_bars(self) -> bool:
        """True for traded, mark and index prices."""
        return self.kind in ("bars", "mark", "index")

    def expected(self, window: Window, now: int) -> int:
        """How many rows a window has where none is missing; at least one settlement of funding.

        Bars longer than a day open on a day that the venue chooses: at least so many fit.
        """
        if self.kind == "funding":
            return 1
        known_to = now - self.step + 1 if self.is_bars else now + 1
        if self.step > DAY:
            length = min(window.to_at, known_to) - window.from_at
            return max(1, length // self.step) if length > 0 else 0
        return max(0, -(-min(window.to_at, known_to) // self.step) - -(-window.from_at // self.step))


async def ask(query: Query, window: Window) -> pl.DataFrame:
    """Rows of a window in the lake's columns, as the venue tells them; raise `VenueError` where it does not."""
    if query.kind == "funding":
        return await _ask_funding(query, window)
    pause_ms = query.exchange.venue.pause_ms.get(query.kind)

    async def question(client: Any) -> pl.DataFrame:
        if pause_ms:
            await query.exchange.pacer.pause(query.kind, pause_ms)
        columns = await (_candles if query.is_bars else _open_interest)(client, query, window)
        return frame(query.kind, columns)

    return await query.exchange.ask(question)


async def _candles(client: Any, query: Query, window: Window) -> list[Any]:
    venue, inverse = query.exchange.venue, query.listing.instrument.inverse
    rows_at_most = -(-(window.to_at - window.from_at) // query.step)
    params = {
        **venue.page_params,
        **({"until": _last_ms(window)} if venue.until else {}),
        **({"price": query.kind} if query.kind != "bars" else {}),
    }
    raw = RAW_CANDLES.set(venue.volumes is not None)
    try:
        rows = await client.fetch_ohlcv(
            query.listing.unified, str(query.interval), _first_ms(window), rows_at_most, params
        )
    finally:
        RAW_CANDLES.reset(raw)
    if not isinstance(rows, list):
        raise TypeError("candles are no list")
    volume = venue.volumes[inverse] if venue.volumes else 5
    columns = list(zip(*rows, strict=True)) or [()] * (volume + 1)
    picked = [columns[n] for n in (0, 1, 2, 3, 4, *([volume] if query.kind == "bars" else []))]
    if query.kind == "bars" and "bars" in venue.counts_contracts and not inverse:
        size = float(query.listing.instrument.contract_size)
        picked[5] = tuple(float(contracts) * size for contracts in picked[5])
    return picked


async def _open_interest(client: Any, query: Query, window: Window) -> list[Any]:
    """Samples of open interest by when they were taken.

    Where stamps may be early, every sample of five minutes is asked for and dated five minutes later, so that none
    is known before it was taken; then those on the grid are kept.
    """
    venue = query.exchange.venue
    late = venue.early_since is not None
    asked, step = (Window(window.from_at - SAMPLE, window.to_at), SAMPLE) if late else (window, query.step)
    params = {**venue.page_params, **({"until": _last_ms(asked)} if venue.until else {})}
    rows = await client.fetch_open_interest_history(
        query.listing.unified,
        str(Interval(step)),
        _first_ms(asked),
        -(-(asked.to_at - asked.from_at) // step),
        params,
    )
    columns = [[row["timestamp"] for row in rows], [_held(row, query) for row in rows]]
    return columns if venue.early_since is None else _dated_later(columns, query, venue.early_since)


def _held(row: Mapping[str, Any], query: Query) -> float:
    """Open interest in base coins, of inverse contracts in contracts."""
    instrument = query.listing.instrument
    size = float(instrument.contract_size)
    if row["openInterestAmount"] is None:
        return row["openInterestValue"] / size  # of inverse contracts some venues tell the value only
    in_contracts = "open-interest" in query.exchange.venue.counts_contracts and not instrument.inverse
    return row["openInterestAmount"] * (size if in_contracts else 1.0)


def _dated_later(columns: list[Any], query: Query, since: int) -> list[Any]:
    stamped_at = np.array(columns[0], dtype=np.int64) * MILLISECOND
    taken_at = np.where(stamped_at >= since, stamped_at + SAMPLE, stamped_at)
    on_grid = taken_at % query.step == 0
    return [taken_at[on_grid] // MILLISECOND, np.array(columns[1], dtype=np.float64)[on_grid]]


async def _ask_funding(query: Query, window: Window) -> pl.DataFrame:
    """All settlements of a window: a full answer, or one that ends early, is asked on where it ends."""
    venue = query.exchange.venue
    if venue.funding == "whole":
        return await _settlements(query, window, None, None, {})
    if venue.funding == "pages":
        return await _turn_pages(query, window)
    rows_at_most = query.exchange.page_rows("funding")
    parts, left = [frame("funding", [[], []])], [window]
    while left:
        asked = left.pop()
        params = {venue.funding_end: _last_ms(asked) + (venue.funding_end != "until")}
        part = await _settlements(query, asked, _first_ms(asked), rows_at_most, params)
        parts.append(part)
        left += _left_over(part, asked, newest_first=venue.newest_first)
    return pl.concat(parts)


def _left_over(part: pl.DataFrame, asked: Window, *, newest_first: bool | None) -> list[Window]:
    """What an answer did not reach: before its first row, after its last one; none where it is empty."""
    if not part.height:
        return []
    at = part["settled_at"].to_physical()
    before = Window(asked.from_at, int(at.min()) * MILLISECOND)  # pyright: ignore[reportArgumentType] it has rows
    after = Window((int(at.max()) + 1) * MILLISECOND, asked.to_at)  # pyright: ignore[reportArgumentType]
    sides = ([before] if newest_first is not False else []) + ([after] if newest_first is not True else [])
    return [side for side in sides if side.to_at - side.from_at > CADENCE]


async def _turn_pages(query: Query, window: Window) -> pl.DataFrame:
    """Pages counted from the newest settlement back, until one reaches the window's start or brings nothing new."""
    parts: list[pl.DataFrame] = []
    oldest = EVER
    for number in range(1, 10_000):
        rows_at_most = query.exchange.page_rows("funding")
        part = await _settlements(query, Window(0, EVER), None, rows_at_most, {"pageNo": number})
        parts.append(part)
        first_at = int(part["settled_at"].to_physical().min() or 0) * MILLISECOND if part.height else oldest  # pyright: ignore[reportArgumentType]
        if first_at >= oldest or first_at < window.from_at:
            break
        oldest = first_at
    return pl.concat(parts)


async def _settlements(
    query: Query, window: Window, since_ms: int | None, rows_at_most: int | None, params: Mapping[str, Any]
) -> pl.DataFrame:
    venue, symbol = query.exchange.venue, query.listing.unified
    pause_ms = venue.pause_ms.get("funding")

    async def question(client: Any) -> pl.DataFrame:
        if pause_ms:
            await query.exchange.pacer.pause("funding", pause_ms)
        rows = await client.fetch_funding_rate_history(
            symbol, since_ms, rows_at_most, {**venue.page_params, **params}
        )
        columns = [[row["timestamp"] for row in rows], [row["fundingRate"] for row in rows]]
        return within(frame("funding", columns), window)

    return await query.exchange.ask(question)


def frame(kind: Kind, columns: list[Any]) -> pl.DataFrame:
    """Columns as they came, text or numbers, as a frame; a row that lacks a number is left out, as a hole."""
    instant, *values = COLUMNS[kind]
    at = np.array(columns[0], dtype=np.int64)
    numbers = [np.array(column, dtype=np.float64) for column in columns[1:]]
    whole = np.isfinite(np.sum(numbers, axis=0))
    instants = [pl.Series(instant, at[whole]).cast(INSTANT)]
    return pl.DataFrame(instants + [pl.Series(n, v[whole]) for n, v in zip(values, numbers, strict=True)])


def within(rows: pl.DataFrame, window: Window) -> pl.DataFrame:
    """Rows whose instant is inside."""
    at = rows.to_series(0).to_physical()
    return rows.filter((at >= _first_ms(window)) & (at <= _last_ms(window)))


def _first_ms(window: Window) -> int:
    """The first millisecond inside."""
    return -(-window.from_at // MILLISECOND)


def _last_ms(window: Window) -> int:
    """The last millisecond inside; venues count the end of a window as inside."""
    return -(-window.to_at // MILLISECOND) - 1
