"""`news fetch`, `news import` and `news list`: what was said about the market, and when it could be known."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from longshort._commands.terminal import emit_json, note, progress, say, say_table
from longshort.base.clock import Interval, format_instant
from longshort.base.errors import DataError
from longshort.connect.feeds import DEFAULT_FEEDS, parse_feed
from longshort.data.market import find_lake
from longshort.data.news.fetch import Fetched, fetch_news
from longshort.data.news.files import import_news
from longshort.data.news.items import BACKFILL_DELAY
from longshort.data.news.rows import Reading
from longshort.data.news.store import NewsStore, SourceSummary
from longshort.data.news.times import Stamped, find_zone


def fetch(sources: Sequence[str], *, lake: str, as_json: bool) -> bool:
    """Ask the named sources, or the default ones; False if any failed."""
    feeds = [parse_feed(text) for text in (sources or DEFAULT_FEEDS)]
    root = _root(lake)
    with progress() as report:
        fetched = fetch_news(feeds, root, report=report)
    if as_json:
        emit_json([asdict(f) for f in fetched])
    else:
        columns = ["source", ">items", ">new", ">edited", ">empty", "remark"]
        say_table(
            f"{root}/news: {len(fetched)} source{'' if len(fetched) == 1 else 's'} asked",
            columns,
            [_fetched_row(f) for f in fetched],
        )
    failed = sum(bool(f.error) for f in fetched)
    if failed:
        note(f"{failed} of {len(fetched)} sources failed; what the others sent is kept.")
    return not failed


def read_options(  # noqa: PLR0913 an option each
    *,
    time: str,
    text: Sequence[str],
    url: str,
    id_: str,
    value: str,
    zone: str,
    stamped: Stamped,
) -> Reading:
    """The options of `news import` as the command line gives them."""
    return Reading(
        time=time, text=tuple(text), url=url, id=id_, value=value, zone=find_zone(zone), stamped=stamped
    )


def import_into_lake(
    files: Sequence[Path], source: str, reading: Reading, *, delay: str, lake: str, as_json: bool
) -> None:
    """Import files into one source and say what it received."""
    wait = Interval.parse(delay).ns if delay else BACKFILL_DELAY
    root = _root(lake)
    imported = import_news(files, root, source, reading, delay=wait)
    for remark in imported.remarks:
        note(remark)
    if as_json:
        emit_json(asdict(imported) | {"files": [str(f) for f in imported.files]})
        return
    counts = [imported.items, imported.added, imported.edited, imported.repeated, imported.skipped]
    say_table(
        f"{root}/news",
        ["source", ">items", ">new", ">edited", ">there already", ">empty"],
        [[source, *(f"{count:,}" for count in counts)]],
    )
    if not imported.added:
        say("Nothing new: every item was in the lake already.")
    note("See from when on they are known with `longshort news list`.")


def show(*, lake: str, as_json: bool) -> None:
    """Print what news the lake holds."""
    root = find_lake(lake, Path())
    summaries = NewsStore(root).summaries()
    if not summaries:
        raise DataError(
            "there is no news.",
            where=root,
            remedy="Get some with `longshort news fetch` or `longshort news import`.",
        )
    if as_json:
        emit_json([_summary_json(s) for s in summaries])
        return
    columns = [
        "source",
        ">items",
        ">edits",
        "known from",
        "to",
        ">no time of day",
        ">no zone",
        ">back-filled",
        "hash",
    ]
    say_table(f"{root}/news", columns, [_summary_row(s) for s in summaries])
    say(
        "Items without a time of day count from the next day on; back-filled ones rest on their source's word."
    )


def _root(lake: str) -> Path:
    return Path(os.environ.get("LONGSHORT_LAKE", "") or lake or "lake")


def _fetched_row(fetched: Fetched) -> list[str | Text]:
    if fetched.error:
        return [Text(fetched.source, style="red"), "-", "-", "-", "-", Text(fetched.error, style="red")]
    remark = "nothing changed since it was last asked" if fetched.unchanged else fetched.remark
    counts = (fetched.items, fetched.added, fetched.edited, fetched.skipped)
    return [fetched.source, *(f"{count:,}" for count in counts), remark]


def _summary_row(summary: SourceSummary) -> list[str | Text]:
    return [
        summary.source,
        f"{summary.items:,}",
        f"{summary.versions - summary.items:,}",
        _instant(summary.first_at),
        _instant(summary.last_at),
        f"{summary.without_time:,}",
        f"{summary.zoneless:,}",
        f"{summary.backfilled:,}",
        summary.digest,
    ]


def _summary_json(summary: SourceSummary) -> dict[str, object]:
    instants = {"first_at": _instant(summary.first_at), "last_at": _instant(summary.last_at)}
    return {**asdict(summary), **instants}


def _instant(at: int | None) -> str:
    return "-" if at is None else format_instant(at)
