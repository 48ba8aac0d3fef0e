"""Files of news enter the lake: exports, saved feeds, and tables of any maker; all files, or none.

What a file says of a time counts with a delay, for nobody here saw the item appear; see `news.when_known`.
"""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import cast

import polars as pl
from polars.exceptions import PolarsError

from longshort.base.clock import SystemClock
from longshort.base.errors import DataError
from longshort.data.news.bodies import read_feed, read_json
from longshort.data.news.items import BACKFILL_DELAY, Look
from longshort.data.news.rows import Object, Parsed, Reading, read_rows
from longshort.data.news.store import NewsStore

ENDINGS = (".parquet", ".pq", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".xml", ".rss", ".atom")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsImport:
    """What a source received from files."""

    source: str
    files: tuple[Path, ...]
    items: int
    added: int
    edited: int
    repeated: int
    skipped: int
    remarks: tuple[str, ...]


def import_news(
    files: Sequence[Path],
    root: Path,
    source: str,
    reading: Reading | None = None,
    *,
    delay: int = BACKFILL_DELAY,
    now: int | None = None,
) -> NewsImport:
    """Put files into the news of a lake; raise `DataError`, with nothing written, for what is wrong first.

    An item of a file may be used from `delay` nanoseconds after its time, one without a time of day from the next day.
    """
    parsed = [read_news_file(path, reading or Reading()) for path in files]
    look = Look(ingested_at=SystemClock().now() if now is None else now, delay=delay)
    items = [item for one in parsed for item in one.items]
    gathered = NewsStore(root).add(source, items, look)
    return NewsImport(
        source=source,
        files=tuple(files),
        items=len(items),
        added=gathered.added,
        edited=gathered.edited,
        repeated=gathered.repeated,
        skipped=sum(one.skipped for one in parsed),
        remarks=tuple(
            f"{path}: {one.remark}." for path, one in zip(files, parsed, strict=True) if one.remark
        ),
    )


def read_news_file(path: Path, reading: Reading) -> Parsed:
    """Read one file by its ending, gzipped or not; raise `DataError` where it cannot be read."""
    if not path.exists():
        raise DataError("no such file.", where=path)
    if path.is_dir():
        raise DataError("it is a folder.", where=path, remedy=f"Name its files: {path}/*.")
    endings = [ending.lower() for ending in path.suffixes]
    ending = next(iter(endings[-2:-1] if endings[-1:] == [".gz"] else endings[-1:]), "")
    if ending not in ENDINGS:
        raise DataError(f"its name must end in one of {', '.join(ENDINGS)}.", where=path)
    body = _bytes(path)
    if not body.strip():
        raise DataError("the file is empty.", where=path)
    match ending:
        case ".json":
            return read_json(body, reading, where=path)
        case ".xml" | ".rss" | ".atom":
            return read_feed(body, reading, where=path)
        case ".jsonl" | ".ndjson":
            return read_rows(_lines(body, path), reading, where=path)
        case _:
            frame = _table(body, ending, path)
            return read_rows(frame.to_dicts(), reading, where=path, names=frame.columns)


def _bytes(path: Path) -> bytes:
    try:
        body = path.read_bytes()
        return gzip.decompress(body) if path.suffix.lower() == ".gz" else body
    except (OSError, EOFError) as error:  # a damaged gzip file is an OSError too
        raise DataError("the file cannot be read.", where=path) from error


def _table(body: bytes, ending: str, path: Path) -> pl.DataFrame:
    try:
        if ending in (".parquet", ".pq"):
            return pl.read_parquet(BytesIO(body))
        text = body.decode("utf-8-sig").encode()
        return pl.read_csv(text, separator="\t" if ending == ".tsv" else ",", infer_schema=False)
    except UnicodeDecodeError as error:
        raise DataError("its text is not UTF-8.", where=path, remedy="Save it again as UTF-8.") from error
    except PolarsError as error:
        kind = "Parquet" if ending in (".parquet", ".pq") else "CSV"
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DataError(f"not a readable {kind} file ({reason}).", where=path) from error


def _lines(body: bytes, path: Path) -> list[Object]:
    rows: list[Object] = []
    for number, line in enumerate(body.decode("utf-8-sig", "replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row: object = json.loads(line)
        except ValueError as error:
            raise DataError(f"line {number:,} is not JSON.", where=path) from error
        if not isinstance(row, dict):
            raise DataError(f"line {number:,} is not an object.", where=path)
        rows.append(cast("Object", row))
    return rows
