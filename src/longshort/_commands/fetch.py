"""`fetch`: years of an exchange's data onto the disk, kept current, and asked again where there are holes."""

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import polars as pl

from longshort._commands.terminal import LINE_EVERY, Report, emit_json, note, progress, say, say_table
from longshort.base.clock import HOUR, Interval, SystemClock, format_instant, parse_instant
from longshort.base.errors import StudyError, VenueError
from longshort.connect.archive import ARCHIVE, Archive
from longshort.connect.exchange import Exchange
from longshort.connect.venues import find_venue
from longshort.data.fetch import fetch
from longshort.data.follow import Kept, follow
from longshort.data.lake import Lake, Measure, write_rows
from longshort.data.market import find_lake
from longshort.data.presets import compare_with_record, find_preset
from longshort.data.universe import Universe, find_universe
from longshort.data.wish import Fetched, Source, Wish

MILLISECOND = 1_000_000
UNIVERSE_FILE = "universe.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The command's options as they were typed."""

    venue: str
    symbols: str
    interval: str
    since: str
    until: str
    measures: tuple[str, ...]
    preset: str
    universe: str
    as_of: tuple[str, ...]
    source: Source
    archive: str
    replace: bool

    def wish(self, symbols: Sequence[str] = ()) -> Wish:
        """What they mean, with the universe's symbols; raise `StudyError` for what cannot be read."""
        if self.preset:
            known = find_preset(self.preset)
            return Wish(
                venue=known.venue,
                symbols=known.symbols,
                interval=known.interval,
                since_at=known.window.from_at,
                until_at=known.window.to_at,
                source=self.source,
                replace=self.replace,
            )
        chosen = tuple(symbols) or tuple(s.strip() for s in self.symbols.split(",") if s.strip())
        if not chosen or not self.since:
            raise StudyError(
                f"{'--since' if chosen else '--symbols'} is missing.",
                where="fetch",
                remedy="Write for instance --symbols BTC/USDT:USDT,ETH/USDT:USDT --since 2020-01-01.",
            )
        return Wish(
            venue=self.venue.strip().lower(),
            symbols=chosen,
            interval=Interval.parse(self.interval),
            since_at=parse_instant(self.since),
            until_at=parse_instant(self.until) if self.until else None,
            measures=cast("tuple[Measure, ...]", self.measures),
            source=self.source,
            replace=self.replace,
        )

    def open_archive(self) -> Archive:
        """Binance's archive, or the mirror that is wished for."""
        return Archive(self.archive or ARCHIVE)


def fetch_into_lake(asked: Asked, *, lake: str, as_json: bool) -> bool:
    """Fetch, and say what each series received; False where a preset's rows are not those on record."""
    root = lake_to_fill(lake)
    wish = asked.wish(_choose_universe(asked, root) if asked.universe else ())
    with progress(unit="rows") as report:
        fetched = asyncio.run(_bring(wish, Lake(root), report, asked.open_archive()))
    differences = _differences(asked.preset, Lake(root)) if asked.preset else []
    if as_json:
        emit_json([_fetched_json(f) for f in fetched])
    else:
        _say_fetched(root, wish, fetched)
    for sentence in differences:
        say(sentence, style="yellow")
    if asked.preset and not differences:
        say("Every month's rows have the hash on record: this is the data behind the published results.")
    return not differences


def follow_into_lake(asked: Asked, *, lake: str) -> None:
    """Keep the lake current until Ctrl-C, with a line now and then."""
    root = lake_to_fill(lake)
    wish = asked.wish(_kept_universe(root) if asked.universe else ())
    words = _Words(SystemClock())

    async def watch() -> None:
        async with Exchange(wish.venue) as exchange:
            await follow(wish, Lake(root), exchange, words.tell)

    note(f"Following {len(wish.symbols)} of {wish.venue} into {root}; Ctrl-C ends it, and nothing is lost.")
    try:
        asyncio.run(watch())
    except KeyboardInterrupt:
        note("Ended; everything is in the lake.")


def refetch(*, lake: str, venue: str) -> None:
    """Ask for the holes of every series whose venue can still be asked; say what came."""
    found = Lake(find_lake(lake, Path()))
    rows: list[list[str]] = []
    for name in sorted({series.venue for series in found.series(venue or None)}):
        try:
            find_venue(name)
        except VenueError as error:
            note(str(error))
            continue
        rows += asyncio.run(_refill(found, name))
    columns = ["venue", "kind", "symbol", ">found", ">still missing"]
    say_table(f"{found.root}: holes asked for again", columns, rows)


async def _refill(lake: Lake, venue: str) -> list[list[str]]:
    rows: list[list[str]] = []
    async with Exchange(venue) as exchange:
        for series in lake.series(venue):
            instants = lake.read(series)[series.columns[0]].to_physical()
            if len(instants) < 2:
                continue
            wish = Wish(
                venue=venue,
                symbols=(series.symbol,),
                interval=series.interval or Interval(HOUR),
                since_at=int(instants[0]) * MILLISECOND,
                until_at=int(instants[-1]) * MILLISECOND + 1,
                measures=(series.measure,),
                holes=True,
            )
            try:
                with progress(unit="rows") as report:
                    (got,) = await fetch(wish, lake, exchange, report)
            except VenueError as error:
                note(f"{series}: {error}")
            else:
                rows.append([venue, series.kind, series.symbol, f"{got.added:,}", f"{got.missing:,}"])
    return rows


async def _bring(wish: Wish, lake: Lake, report: Report, archive: Archive) -> list[Fetched]:
    async with Exchange(wish.venue) as exchange:
        return await fetch(wish, lake, exchange, report, archive=archive)


def _choose_universe(asked: Asked, root: Path) -> tuple[str, ...]:
    """The most traded coins as of each date, kept beside their data; raise `StudyError` for what cannot be."""
    size = re.fullmatch(r"top(\d+)", asked.universe.strip().lower())
    if not size or not asked.as_of or asked.venue != "binanceusdm":
        raise StudyError(
            "a universe is --universe topN --as-of DATE of --venue binanceusdm.",
            where="fetch",
            remedy="Write for instance --universe top50 --as-of 2024-01-01 --as-of 2024-07-01.",
        )
    dates = [parse_instant(text) for text in asked.as_of]

    async def find() -> Universe:
        async with asked.open_archive() as archive:
            with progress(unit="coins") as report:
                return await find_universe(
                    archive,
                    dates,
                    int(size[1]),
                    now=SystemClock().now(),
                    report=lambda done, of: report("daily bars", done, of),
                )

    universe = asyncio.run(find())
    write_rows(root / "binanceusdm" / UNIVERSE_FILE, universe.table)
    for at in sorted(set(dates)):
        names = universe.table.filter(
            pl.col("as_of") == pl.from_epoch(pl.lit(at), "ns").dt.replace_time_zone("UTC")
        )
        say(f"{format_instant(at)}  {len(names)} coins: {', '.join(names['symbol'].to_list()[:8])}, ...")
    for sentence in universe.unseen[:10]:
        note(sentence)
    return universe.symbols


def _kept_universe(root: Path) -> tuple[str, ...]:
    table = pl.read_parquet(root / "binanceusdm" / UNIVERSE_FILE)
    return tuple(table["symbol"].unique(maintain_order=True))


def _differences(preset: str, lake: Lake) -> list[str]:
    known = find_preset(preset)
    return [
        sentence
        for series in known.series
        for sentence in compare_with_record(known, series, lake.read(series))
    ]


def _say_fetched(root: Path, wish: Wish, fetched: Sequence[Fetched]) -> None:
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


class _Words:
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
