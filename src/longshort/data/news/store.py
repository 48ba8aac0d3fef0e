"""The lake's news: one file per source, and what is known of the sources themselves.

    <lake>/news/<source>.parquet    the columns of `NEWS_SCHEMA`, in the order in which rows came in
    <lake>/news/sources.json        what each fetched source is, when it was last asked, and its validators

Files are written whole or not at all and carry a hash of their rows. Rows are added, never changed.
"""

import fcntl
import json
import os
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from longshort.base.errors import DataError
from longshort.base.files import digest, write_json
from longshort.data.lake import DIGEST_KEY, INSTANT, write_rows
from longshort.data.news.items import (
    MILLISECOND,
    NEWS_SCHEMA,
    Gathered,
    Headline,
    Look,
    add_headlines,
    empty_news,
)

NEWS = "news"
_AGAIN = "Delete it and fetch or import it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """What is remembered of a source between fetches; `address` is a hash, for addresses may hold keys."""

    kind: str
    host: str
    address: str
    asked_at: int
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSummary:
    """What the lake holds of one source; `first_at` and `last_at` are the instants from which rows are known."""

    source: str
    items: int
    versions: int
    first_at: int | None
    last_at: int | None
    without_time: int
    zoneless: int
    backfilled: int
    digest: str


class NewsStore:
    """The news of the lake at `root`, which need not exist before the first write."""

    def __init__(self, root: Path) -> None:
        self.folder = root / NEWS

    def path(self, source: str) -> Path:
        """Where a source lies."""
        return self.folder / f"{source}.parquet"

    def sources(self) -> list[str]:
        """Every source on record, in order."""
        return sorted(p.name.removesuffix(".parquet") for p in self.folder.glob("[!.]*.parquet"))

    def read(self, source: str) -> pl.DataFrame:
        """The rows of a source as they came in; raise `DataError` where they are not those that were written."""
        path = self.path(source)
        if not path.is_file():
            raise DataError("no such source of news.", where=source, remedy=self._nearest(source))
        try:
            rows = pl.read_parquet(path, memory_map=False)
            recorded = pl.read_parquet_metadata(path).get(DIGEST_KEY, "")
        except (PolarsError, OSError) as error:
            raise DataError("the file is damaged.", where=path, remedy=_AGAIN) from error
        if rows.schema != NEWS_SCHEMA:
            raise DataError(f"the columns must be {', '.join(NEWS_SCHEMA)}.", where=path, remedy=_AGAIN)
        if recorded not in ("", news_digest(rows)):
            raise DataError("the rows are not those that were written.", where=path, remedy=_AGAIN)
        return rows

    def add(self, source: str, items: Sequence[Headline], look: Look) -> Gathered:
        """Put new items behind those on record; where there are none, the file stays as it is."""
        if not re.fullmatch(r"\w[\w.-]*", source):
            raise DataError(
                "a source's name may hold letters, digits, dots, dashes and underscores only.",
                where=repr(source),
            )
        with self._lock():
            is_new = not self.path(source).is_file()
            old = empty_news() if is_new else self.read(source)
            gathered = add_headlines(old, items, source=source, look=look)
            if gathered.added or is_new:
                metadata = {DIGEST_KEY: news_digest(gathered.rows)}
                write_rows(self.path(source), gathered.rows, metadata)
        return gathered

    def states(self) -> dict[str, SourceState]:
        """What is remembered of the sources; nothing of one whose file is gone, so that it starts afresh."""
        path = self.folder / "sources.json"
        if not path.is_file():
            return {}
        try:
            states = {name: SourceState(**state) for name, state in json.loads(path.read_bytes()).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError("the file is damaged.", where=path, remedy="Delete it.") from error
        return {name: state for name, state in states.items() if self.path(name).is_file()}

    def remember(self, source: str, state: SourceState) -> None:
        """Keep what a source answered, after its rows were written."""
        with self._lock():
            states: Mapping[str, SourceState] = {**self.states(), source: state}
            write_json(self.folder / "sources.json", {name: asdict(states[name]) for name in sorted(states)})

    def summaries(self) -> list[SourceSummary]:
        """What is on record, source by source."""
        return [_summary(source, self.read(source)) for source in self.sources()]

    def _nearest(self, source: str) -> str:
        close = get_close_matches(source, self.sources(), n=1, cutoff=0.4)
        return f"Did you mean {close[0]}?" if close else "`longshort news list` shows what there is."

    @contextmanager
    def _lock(self) -> Generator[None]:
        """Wait until no other process writes news: a write takes a moment."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"it cannot be written: {reason}.", where=self.folder) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)  # and with it the lock


def read_news(
    root: Path, sources: Iterable[str] = (), *, until: int | None = None, backfilled: bool = True
) -> pl.DataFrame:
    """The rows known at an instant (all: None) of some or all sources of a lake, in order of `known_at`.

    Rows that became known at the very instant are among them. Without `backfilled` rows, what is read for an instant
    that has passed never changes again; with them, history that is imported later appears in it.
    """
    store = NewsStore(root)
    frames = [store.read(source) for source in (tuple(sources) or store.sources())]
    rows = pl.concat([empty_news(), *frames])
    if until is not None:
        rows = rows.filter(pl.col("known_at").dt.epoch("ms") <= until // MILLISECOND)
    if not backfilled:
        rows = rows.filter(~pl.col("backfilled"))
    return rows.sort("known_at", "source", "id", maintain_order=True)


def news_digest(rows: pl.DataFrame) -> str:
    """A hash of the values in order, whatever the file's encoding."""
    columns = (json.dumps(column.to_physical().to_list()) for column in rows.get_columns())
    return digest(*rows.columns, *columns)


def _summary(source: str, rows: pl.DataFrame) -> SourceSummary:
    known_at = rows["known_at"].cast(INSTANT).dt.epoch("ms").sort()
    return SourceSummary(
        source=source,
        items=rows["id"].n_unique(),
        versions=len(rows),
        first_at=int(known_at[0]) * MILLISECOND if len(rows) else None,
        last_at=int(known_at[-1]) * MILLISECOND if len(rows) else None,
        without_time=int(rows["stated"].is_in(["day", "nothing"]).sum()),
        zoneless=int((rows["stated"] == "zoneless").sum()),
        backfilled=int(rows["backfilled"].sum()),
        digest=news_digest(rows),
    )
