"""Rows of one explicit window, as the lake keeps them: sorted, unique, finished, and nothing outside it.

ccxt's own paging restarts windows, hammers and drops rows, so it is never used. What a venue does not have comes
back as fewer rows; a window that came back short is asked once more before that is believed.
"""

import polars as pl

from longshort.base.clock import DAY, MINUTE, Interval, parse_instant
from longshort.base.errors import VenueError
from longshort.base.window import Window
from longshort.connect.exchange import Exchange
from longshort.connect.known_venues import Kind
from longshort.connect.listing import Listing
from longshort.connect.pacing import MILLISECOND
from longshort.connect.rows import CADENCE, COLUMNS, EVER, SAMPLE, Query, ask, frame, within

BEFORE_ALL = parse_instant("2013-01-01")  # no futures venue of today is older
EARLIER = 60 * DAY  # how long before the day of listing that a venue tells its bars may begin


def span(exchange: Exchange, kind: Kind, interval: Interval | None) -> int:
    """How long the window of one `page` may be, in ns."""
    venue = exchange.venue
    if kind == "funding":
        return exchange.page_rows(kind) * CADENCE if venue.funding == "windows" else EVER
    assert interval is not None, f"{kind} needs an interval"
    rows = exchange.page_rows(kind)
    if kind == "open-interest" and venue.early_since is not None:
        return SAMPLE * (rows - 1)
    return interval.ns * (max(1, min(rows, venue.widest // interval.ns)) if venue.widest else rows)


async def page(
    exchange: Exchange, kind: Kind, listing: Listing, interval: Interval | None, window: Window
) -> pl.DataFrame:
    """The rows of a window no longer than `span`, in the lake's columns.

    Bars that have not closed by the venue's clock are left out. Raise `VenueError` where the venue has no such
    history, or does not give it.
    """
    query = Query(exchange=exchange, kind=kind, listing=listing, interval=interval)
    _refuse_what_is_not_offered(query)
    assert window.to_at - window.from_at <= span(exchange, kind, interval), f"too long for a page of {kind}"
    now = exchange.seen_at if window.to_at <= exchange.seen_at else await exchange.server_now()
    window = Window(max(window.from_at, _oldest(query, now)), window.to_at)
    expected = query.expected(window, now)
    if window.from_at >= min(window.to_at, now + 1) or not expected:
        return frame(kind, [[] for _ in COLUMNS[kind]])
    rows = _kept(query, await ask(query, window), window, now)
    if rows.height < expected:
        again = _kept(query, await ask(query, window), window, now)
        rows = _kept(query, pl.concat([rows, again]), window, now)
    return rows


async def first_listed(
    exchange: Exchange, listing: Listing, kind: Kind, interval: Interval | None, from_at: int = BEFORE_ALL
) -> int:
    """From when on, at or after `from_at`'s day, a series may have rows: the first bar's day, or the venue's memory.

    Days are asked for, since what a venue says of its listing days is often late. Without any bar it is now.
    """
    from_at = from_at // DAY * DAY
    day = Interval(max(wide.ns for wide in exchange.intervals() if DAY % wide.ns == 0))
    now = await exchange.server_now()
    query = Query(exchange=exchange, kind="bars", listing=listing, interval=day)
    first_at = None
    if listing.listed_at is not None and listing.listed_at - EARLIER > from_at:
        guess = (listing.listed_at - EARLIER) // DAY * DAY
        first_at = await _first_bar(query, guess, now)
        first_at = None if first_at == guess else first_at  # there may be more before
    if first_at is None:
        first_at = await _first_bar(query, from_at, now)
    asked = Query(exchange=exchange, kind=kind, listing=listing, interval=interval)
    return max(now if first_at is None else first_at, _oldest(asked, now))


async def _first_bar(query: Query, start_at: int, now: int) -> int | None:
    while start_at < now:
        window = Window(start_at, start_at + span(query.exchange, "bars", query.interval))
        for _ in range(2):  # that there is nothing is asked once more before it is believed
            rows = _kept(query, await ask(query, window), window, now + query.step)
            if rows.height:
                return int(rows["opened_at"].to_physical()[0]) * MILLISECOND
        start_at = window.to_at
    return None


def _refuse_what_is_not_offered(query: Query) -> None:
    exchange, kind, listing = query.exchange, query.kind, query.listing
    one_sided = kind in exchange.venue.linear_only and listing.instrument.inverse
    if not exchange.offers(kind) or one_sided or (kind == "funding" and listing.contract != "swap"):
        raise VenueError(f"has no history of {kind} for {listing.unified}.", where=exchange.venue.id)
    if query.is_bars and query.interval not in exchange.intervals():
        raise VenueError(
            f"has no bars of {query.interval}.",
            where=exchange.venue.id,
            remedy=f"It has {', '.join(map(str, exchange.intervals()))}.",
        )
    sampled = exchange.venue.interest
    if kind == "open-interest" and sampled and str(query.interval) not in sampled:
        raise VenueError(
            f"has no open interest of {query.interval}.",
            where=exchange.venue.id,
            remedy=f"It has {', '.join(sampled)}.",
        )


def _oldest(query: Query, now: int) -> int:
    """How far back the venue remembers; a little less, since its clock runs on while it is asked."""
    venue = query.exchange.venue
    if rows := venue.history_rows.get(query.kind):
        return now - rows * query.step
    reach = venue.history.get(query.kind)
    return now - reach + 15 * MINUTE if reach else 0


def _kept(query: Query, rows: pl.DataFrame, window: Window, now: int) -> pl.DataFrame:
    """Rows inside, each instant once as it was told last, oldest first, and closed by now."""
    rows = within(rows, window)
    at = rows.to_series(0)
    if query.is_bars:
        rows = rows.filter(at.to_physical() <= (now - query.step) // MILLISECOND)
        at = rows.to_series(0)
    if at.is_sorted() and at.n_unique() == rows.height:
        return rows
    return rows.unique(rows.columns[0], keep="last", maintain_order=True).sort(rows.columns[0])
