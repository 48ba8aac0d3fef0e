"""`fetch` and `venues`: years of an exchange's data onto the disk, and what each exchange offers."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from longshort._commands.terminal import LINE_EVERY, Report, emit_json, note, progress, say, say_table
from longshort.base.clock import Interval, SystemClock, format_instant, parse_instant
from longshort.base.errors import StudyError
from longshort.connect.archive import ARCHIVE, Archive
from longshort.connect.exchange import Exchange
from longshort.connect.venues import CLOSED, VENUES, Capabilities, capabilities
from longshort.data.fetch import fetch
from longshort.data.follow import Kept, follow
from longshort.data.lake import Lake, Measure
from longshort.data.wish import Fetched, Source, Wish

KINDS = ("bars", "mark", "index", "funding", "open-interest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The command's options as they were typed."""

    venue: str
    symbols: str
    interval: str
    since: str
    until: str
    measures: tuple[str, ...]
    source: Source
    replace: bool

    def wish(self) -> Wish:
        """What they mean; raise `StudyError` for what cannot be read."""
        symbols = tuple(s.strip() for s in self.symbols.split(",") if s.strip())
        if not symbols or not self.since:
            missing = "--since" if symbols else "--symbols"
            raise StudyError(
                f"{missing} is missing.",
                where="fetch",
                remedy="Write for instance --symbols BTC/USDT:USDT,ETH/USDT:USDT --since 2020-01-01.",
            )
        return Wish(
            venue=self.venue.strip().lower(),
            symbols=symbols,
            interval=Interval.parse(self.interval),
            since_at=parse_instant(self.since),
            until_at=parse_instant(self.until) if self.until else None,
            measures=cast("tuple[Measure, ...]", self.measures),
            source=self.source,
            replace=self.replace,
        )


def fetch_into_lake(asked: Asked, *, lake: str, archive: str, as_json: bool) -> None:
    """Fetch, and say what each series received."""
    wish = asked.wish()
    root = lake_to_fill(lake)

    async def bring(report: Report) -> list[Fetched]:
        async with Exchange(wish.venue) as exchange:
            return await fetch(wish, Lake(root), exchange, report, archive=Archive(archive or ARCHIVE))

    with progress(unit="rows") as report:
        fetched = asyncio.run(bring(report))
    if as_json:
        emit_json([_fetched_json(f) for f in fetched])
        return
    rows = [
        [
            f.series.kind,
            f.series.symbol,
            f"{f.rows:,}",
            f"{f.added:,}",
            f"{f.changed:,}",
            f"{f.missing:,}",
            *("" if at is None else format_instant(at) for at in (f.first_at, f.last_at)),
        ]
        for f in fetched
    ]
    columns = ["kind", "symbol", ">rows", ">new", ">replaced", ">missing", "first", "last"]
    say_table(f"{root}/{wish.venue}", columns, rows)
    for f in fetched:
        for text in f.notes:
            say(f"{f.series}: {text}", style="dim")
    if not any(f.added + f.changed for f in fetched):
        say("Nothing new: everything was in the lake already.")
    if any(f.missing for f in fetched):
        say("Missing rows were asked for twice: the venue does not have them.")
    note("Look them over with `longshort check`.")


def follow_into_lake(asked: Asked, *, lake: str) -> None:
    """Keep the lake current until Ctrl-C, with a line now and then."""
    wish = asked.wish()
    root = lake_to_fill(lake)
    news = _News(SystemClock())

    async def watch() -> None:
        async with Exchange(wish.venue) as exchange:
            await follow(wish, Lake(root), exchange, news.tell)

    note(f"Following {len(wish.symbols)} of {wish.venue} into {root}; Ctrl-C ends it, and nothing is lost.")
    try:
        asyncio.run(watch())
    except KeyboardInterrupt:
        note("Ended; everything is in the lake.")


class _News:
    """Adds up what came and says it every ten seconds."""

    def __init__(self, clock: SystemClock) -> None:
        self._clock = clock
        self._said_at = 0
        self._kept: list[Kept] = []

    def tell(self, kept: Kept) -> None:
        """Count what one coin received."""
        self._kept.append(kept)
        now = self._clock.now()
        if now - self._said_at < LINE_EVERY:
            return
        self._said_at = now
        coins = len({k.symbol for k in self._kept})
        bars, streamed, corrected = (
            sum(getattr(k, name) for k in self._kept) for name in ("bars", "streamed", "corrected")
        )
        latest = format_instant(max(k.last_at for k in self._kept))
        fixed = f", {corrected:,} corrected by the record" if corrected else ""
        say(f"{latest}  {bars:,} bars of {coins} coins, {streamed:,} from the stream{fixed}")
        self._kept.clear()


def lake_to_fill(lake: str) -> Path:
    """The lake that is written to, which need not exist."""
    return Path(os.environ.get("LONGSHORT_LAKE", "") or lake or "lake")


def venues(names: Sequence[str], *, as_json: bool) -> None:
    """Say what each venue offers; those of the mission where none is named."""
    told = [capabilities(name) for name in names or [v for v in VENUES if VENUES[v].contracts]]
    if as_json:
        emit_json([asdict(c) | {"history_days": dict(c.history_days)} for c in told])
        return
    columns = [
        "venue",
        "contracts",
        "bars",
        ">page",
        *KINDS,
        "funding settles",
        "live",
        "archive",
        "test net",
    ]
    say_table("What the venues offer to ccxt", columns, [_capability_row(c) for c in told])
    say(
        "Open interest in days: how far back the venue itself remembers. Other ccxt venues: `longshort venues NAME`."
    )
    for closed in CLOSED.values():
        say(str(closed), style="dim")


def _capability_row(told: Capabilities) -> list[str]:
    def past(kind: str) -> str:
        if kind not in told.kinds:
            return "-"
        days = told.history_days.get(kind)  # pyright: ignore[reportArgumentType, reportCallIssue]
        return f"{days} d" if days else "all"

    yes = {True: "yes", False: "-"}
    return [
        told.venue,
        ", ".join(told.contracts),
        f"{told.intervals[0]} to {told.intervals[-1]}" if told.intervals else "-",
        f"{told.page_rows:,}",
        *(past(kind) for kind in KINDS),
        told.settles,
        yes[told.websocket_bars],
        yes[told.archive],
        yes[told.sandbox],
    ]


def _fetched_json(fetched: Fetched) -> dict[str, object]:
    return {
        "venue": fetched.series.venue,
        "kind": fetched.series.kind,
        "symbol": fetched.series.symbol,
        "unified": fetched.unified,
        "rows": fetched.rows,
        "added": fetched.added,
        "replaced": fetched.changed,
        "missing": fetched.missing,
        "first": None if fetched.first_at is None else format_instant(fetched.first_at),
        "last": None if fetched.last_at is None else format_instant(fetched.last_at),
        "notes": list(fetched.notes),
    }
