"""A small copy of Binance's archive on loopback: generated zips, the bucket's index, and faults on demand.

with serve() as archive:
    archive.publish(file, rows)                     # the zip and its .CHECKSUM
    archive.faults[file.name] = ["500", "reset"]    # the next answers for that name, in order
"""

import hashlib
import io
import socket
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import polars as pl

from longshort.connect.archive_files import ArchiveFile

Fault = Literal["500", "403", "404", "429", "html", "reset", "short", "stall", "swapped"]
STATUS: dict[str, int] = {"500": 500, "403": 403, "404": 404, "429": 429, "html": 200}
KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore"
)
FUNDING_HEADER = "calc_time,funding_interval_hours,last_funding_rate"
METRICS_HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)


def kline_csv(rows: pl.DataFrame, *, header: bool = True, unit: Literal["ms", "us"] = "ms") -> bytes:
    """Bars as the archive writes them; marks and indices have a volume of 0 there."""
    first, *values = rows.columns
    at = rows[first].dt.epoch(unit)
    after = at + (60_000 if unit == "ms" else 60_000_000) - 1
    volume = rows["volume"] if "volume" in values else pl.repeat(0, len(rows), eager=True)
    table = pl.DataFrame([at, rows["open"], rows["high"], rows["low"], rows["close"]]).with_columns(
        volume.alias("volume"), after.alias("close_time"), (volume * rows["close"]).alias("quote_volume"),
        pl.lit(7).alias("count"), (volume / 2).alias("a"), (volume / 3).alias("b"), pl.lit(0).alias("ignore"),
    )  # fmt: skip
    return (f"{KLINE_HEADER}\n" if header else "").encode() + table.write_csv(include_header=False).encode()


def funding_csv(rows: pl.DataFrame, *, header: bool = True) -> bytes:
    table = rows.select(pl.col("settled_at").dt.epoch("ms"), pl.lit(8).alias("hours"), "rate")
    return (f"{FUNDING_HEADER}\n" if header else "").encode() + table.write_csv(include_header=False).encode()


def metrics_csv(rows: pl.DataFrame, *, early_minutes: int = 0) -> bytes:
    """Samples stamped when they were taken, or some minutes early as COIN-M's are."""
    stamp = pl.col("sampled_at") - pl.duration(minutes=early_minutes)
    table = rows.select(
        stamp.dt.strftime("%Y-%m-%d %H:%M:%S"), pl.lit("BTCUSDT").alias("symbol"), "open_interest",
        *(pl.lit(1.5).alias(name) for name in "abcde"),
    )  # fmt: skip
    return f"{METRICS_HEADER}\n".encode() + table.write_csv(include_header=False).encode()


def zipped(name: str, text: bytes) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name.replace(".zip", ".csv"), text)
    return body.getvalue()


def checksum(name: str, body: bytes) -> bytes:
    return f"{hashlib.sha256(body).hexdigest()}  {name}\n".encode()


@dataclass
class ArchiveServer:
    """What is published, what goes wrong next by file name, and what was asked for."""

    url: str = ""
    bodies: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    page: int = 1_000
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def listing(self) -> str:
        return f"{self.url}/bucket"

    def publish(self, file: ArchiveFile, text: bytes) -> None:
        self.put(file.path, zipped(file.name, text))

    def put(self, path: str, body: bytes) -> None:
        """Publish any bytes with their true hash."""
        self.bodies[path] = body
        self.bodies[f"{path}.CHECKSUM"] = checksum(path.rpartition("/")[2], body)

    def asked_zips(self) -> list[str]:
        return [path.rpartition("/")[2] for path in self.asked if path.endswith(".zip")]

    def index(self, query: dict[str, list[str]]) -> bytes:
        """One page of the bucket's index below a prefix, with what is deeper folded into folders."""
        prefix, marker = query["prefix"][0], query.get("marker", [""])[0]
        names = {self._fold(path, prefix) for path in self.bodies if path.startswith(prefix)}
        later = sorted(name for name in names if name > marker)
        shown = later[: self.page]
        entries = (
            f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"
            if name.endswith("/")
            else f"<Contents><Key>{name}</Key><Size>1</Size></Contents>"
            for name in shown
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>data.binance.vision</Name>'
            f"<Prefix>{prefix}</Prefix><IsTruncated>{str(len(later) > len(shown)).lower()}</IsTruncated>"
            f"{''.join(entries)}</ListBucketResult>"
        ).encode()

    @staticmethod
    def _fold(path: str, prefix: str) -> str:
        name, slash, _ = path.removeprefix(prefix).partition("/")
        return prefix + name + slash


@contextmanager
def serve() -> Iterator[ArchiveServer]:
    archive = ArchiveServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"archive": archive}))
    server.daemon_threads = True
    archive.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield archive
    finally:
        archive.ended.set()
        server.shutdown()
        thread.join()
        server.block_on_close = False
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    archive: ArchiveServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = url.path.lstrip("/")
        self.archive.asked.append(path)
        faults = self.archive.faults.get(path.rpartition("/")[2], [])
        body = self.archive.index(parse_qs(url.query)) if path == "bucket" else self.archive.bodies.get(path)
        fault = faults.pop(0) if faults else "" if body is not None else "404"
        self._answer(fault, body or b"")

    def _answer(self, fault: str, body: bytes) -> None:
        match fault:
            case "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
            case "short":
                self._send(200, body[: len(body) // 2], claims=len(body))
                self.close_connection = True
            case "stall":
                self._send(200, body[:10], claims=len(body))
                self.archive.ended.wait(5)
                self.close_connection = True
            case "swapped":
                self._send(200, body[:-1] + bytes([body[-1] ^ 1]))
            case "":
                self._send(200, body)
            case status:
                self._send(STATUS[status], b"<html><body>Sorry</body></html>")

    def _send(self, status: int, body: bytes, *, claims: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if claims is None else claims))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class calls it that
        return
