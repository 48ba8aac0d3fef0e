"""Defects planted into clean real series, and how many of them the certificate finds.

Sizes are in local robust scales: 1.4826 times the median absolute log return of the 97 bars around. What is smaller
than `SMALLEST` (or `SMALLEST_WICK` for a high or low alone) is within what markets do and counts as no defect.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import numpy as np
import polars as pl

from longshort.base.clock import Interval
from longshort.data.certificate.certificates import Certificate
from longshort.data.certificate.certify import certify
from longshort.data.certificate.findings import Finding
from longshort.data.lake import BAR_COLUMNS, INSTANT, Lake, Series

SMALLEST, LARGEST = 8.0, 60.0
SMALLEST_WICK = 20.0
APART = 260  # bars between two defects: the places of one must not be taken for the other's
COLUMNS = BAR_COLUMNS[1:]
WRONG_RULES = ("impossible", "swapped", "stuck", "repeated", "odd", "silent", "halted", "not traded yet")
NEAR = 2  # bars beside a defect that a finding may name
VENUE = "planted"
PANEL = "4h"  # all coins in one file
LENGTHS = ("1m", "5m", "1h", PANEL)

Values = dict[str, np.ndarray]
Plant = Callable[
    [Values, int, float, np.random.Generator], int
]  # plants at a row; returns the row after the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One defect: where, of what kind, how large (0 where size means nothing), and whether it was found."""

    kind: str
    series: Series
    from_at: int
    to_at: int
    size: float
    found: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was planted and found, and the alarms where nothing was planted."""

    planted: tuple[Planted, ...]
    clean_bars: int
    false_alarms: tuple[str, ...] = field(default_factory=tuple)

    @property
    def recall(self) -> float:
        return sum(p.found for p in self.planted) / len(self.planted)

    @property
    def false_per_100_000(self) -> float:
        return 100_000 * len(self.false_alarms) / self.clean_bars

    def table(self) -> list[tuple[str, int, int]]:
        """Kind, with a class of sizes where it has one; how many were found; how many there were."""
        names = sorted({_class(p) for p in self.planted})
        groups = {name: [p for p in self.planted if _class(p) == name] for name in names}
        return [(name, sum(p.found for p in some), len(some)) for name, some in groups.items()]


def certify_planted(count: int, seed: int, data: Path, lengths: Sequence[str] = LENGTHS) -> Counts:
    """Plant `count` defects into the clean files of `data`, put them into a lake, and see what `check` finds.

    The clean files are certified too: whatever is found in them is a false alarm.
    """
    rng = np.random.default_rng(seed)
    clean = dict(_clean_series(data, lengths))
    alarms = _certify(clean)
    false = [f"{c.series} {f.rule} {at}" for c in alarms for f in _wrong(c) for at in f.places]
    planted, dirty = _plant(clean, count, rng)
    found = {c.series: c for c in _certify(dirty)}
    judged, strays = _match(planted, found, false)
    bars = 2 * sum(len(rows) for rows in clean.values())
    return Counts(planted=tuple(judged), clean_bars=bars, false_alarms=(*false, *strays))


def _certify(market: Mapping[Series, pl.DataFrame]) -> list[Certificate]:
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        for series, rows in market.items():
            lake.write(series, rows)
        return certify(lake, market)


def _plant(
    clean: Mapping[Series, pl.DataFrame], count: int, rng: np.random.Generator
) -> tuple[list[Planted], dict[Series, pl.DataFrame]]:
    kinds = list(PLANTS)
    names = list(clean)
    dirty = {series: {c: rows[c].to_numpy().copy() for c in COLUMNS} for series, rows in clean.items()}
    scales = {series: _scale(rows) for series, rows in clean.items()}
    taken: dict[Series, list[int]] = {series: [] for series in names}
    planted: list[Planted] = []
    while len(planted) < count:
        kind = kinds[len(planted) % len(kinds)]
        series = names[int(rng.integers(len(names)))]
        row = int(rng.integers(APART, len(clean[series]) - APART))
        if any(abs(row - other) < APART for other in taken[series]):
            continue
        taken[series].append(row)
        smallest = SMALLEST_WICK if kind == "wick" else SMALLEST
        size = float(np.exp(rng.uniform(np.log(smallest), np.log(LARGEST))))
        end = PLANTS[kind](dirty[series], row, size * scales[series][row], rng)
        at = clean[series]["opened_at"].to_physical().to_numpy() * 1_000_000
        planted.append(
            Planted(
                kind=kind,
                series=series,
                from_at=int(at[row]),
                to_at=int(at[end - 1]),
                size=size if kind in SIZED else 0.0,
            )
        )
    market = {
        series: pl.DataFrame({"opened_at": clean[series]["opened_at"], **values})
        for series, values in dirty.items()
    }
    return planted, market


def _match(
    planted: list[Planted], found: Mapping[Series, Certificate], known: list[str]
) -> tuple[list[Planted], list[str]]:
    """Which defects a finding names, and findings that name none and are not those of the clean files."""
    judged: list[Planted] = []
    explained: set[tuple[Series, int]] = set()
    for defect in planted:
        interval = defect.series.interval
        assert interval
        near = NEAR * interval.ns
        places = {at for f in _wrong(found[defect.series]) for at in f.places}
        hits = {at for at in places if defect.from_at - near <= at <= defect.to_at + near}
        explained |= {(defect.series, at) for at in hits}
        judged.append(
            Planted(
                kind=defect.kind, series=defect.series, from_at=defect.from_at, to_at=defect.to_at,
                size=defect.size, found=bool(hits),
            )
        )  # fmt: skip
    strays = [
        f"{series} {f.rule} {at}"
        for series, certificate in found.items()
        for f in _wrong(certificate)
        for at in f.places
        if (series, at) not in explained
    ]
    return judged, [stray for stray in strays if stray not in known]


def _wrong(certificate: Certificate) -> Iterator[Finding]:
    return (f for f in certificate.findings if f.rule in WRONG_RULES)


def _class(planted: Planted) -> str:
    if not planted.size:
        return planted.kind
    limit = next(limit for limit in (12, 20, 35, 60) if planted.size <= limit + 1e-9)
    return f"{planted.kind}, up to {limit} scales"


def _clean_series(data: Path, lengths: Sequence[str]) -> Iterator[tuple[Series, pl.DataFrame]]:
    for length in lengths:
        for path in sorted((data / f"ohlcv_{length}").glob("binance_*USDT_perp_*.parquet")):
            yield (
                Series.bars(VENUE, Interval.parse(length), path.name.split("_")[1]),
                _lake_rows(pl.read_parquet(path)),
            )
    if PANEL not in lengths:
        return
    panel = pl.read_parquet(data / "ohlcv_4h" / "binance_usdt_perp_4h_panel.parquet")
    for (symbol,), rows in panel.group_by("symbol", maintain_order=True):
        yield Series.bars(VENUE, Interval.parse(PANEL), str(symbol)), _lake_rows(rows)


def _lake_rows(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.col("ts").cast(INSTANT).alias("opened_at"), *COLUMNS)


def _scale(rows: pl.DataFrame) -> np.ndarray:
    size = rows["close"].log().diff().abs()
    local = size.rolling_median(97, center=True, min_samples=24).fill_null(strategy="backward")
    return 1.4826 * np.maximum(local.to_numpy(), float(size.median() or 0.0) / 4.0)  # pyright: ignore[reportArgumentType]


def _sign(rng: np.random.Generator) -> float:
    return float(rng.choice([-1.0, 1.0]))


def _widen(values: Values, row: int) -> None:
    values["high"][row] = max(values[c][row] for c in ("open", "high", "close"))
    values["low"][row] = min(values[c][row] for c in ("open", "low", "close"))


def _close(values: Values, row: int, move: float, rng: np.random.Generator) -> int:
    values["close"][row] *= np.exp(_sign(rng) * move)
    _widen(values, row)
    return row + 1


def _open(values: Values, row: int, move: float, rng: np.random.Generator) -> int:
    values["open"][row] *= np.exp(_sign(rng) * move)
    _widen(values, row)
    return row + 1


def _bars(values: Values, row: int, move: float, rng: np.random.Generator) -> int:
    end, factor = row + int(rng.integers(1, 6)), np.exp(_sign(rng) * move)
    for c in COLUMNS[:-1]:
        values[c][row:end] *= factor
    return end


def _wick(values: Values, row: int, move: float, rng: np.random.Generator) -> int:
    if rng.random() < 0.5:
        values["high"][row] = max(values["open"][row], values["close"][row]) * np.exp(move)
    else:
        values["low"][row] = min(values["open"][row], values["close"][row]) * np.exp(-move)
    return row + 1


def _decimal_bar(values: Values, row: int, move: float, rng: np.random.Generator) -> int:
    end, factor = row + int(rng.integers(1, 4)), float(rng.choice([0.1, 10.0, 100.0]))
    for c in COLUMNS[:-1]:
        values[c][row:end] *= factor
    return end


def _decimal_field(values: Values, row: int, move: float, rng: np.random.Generator) -> int:
    values[str(rng.choice(COLUMNS[:-1]))][row] *= float(rng.choice([0.1, 10.0, 100.0]))
    return row + 1


def _swap(first: str, second: str, least: int, most: int) -> Plant:
    def plant(values: Values, row: int, move: float, rng: np.random.Generator) -> int:
        end = row + int(rng.integers(least, most + 1))
        values[first][row:end], values[second][row:end] = (
            values[second][row:end].copy(),
            values[first][row:end].copy(),
        )
        return end

    return plant


def _block(values: Values, row: int, move: float, rng: np.random.Generator) -> int:
    length = int(rng.integers(4, 31))
    back = int(rng.integers(length, 200))
    for c in COLUMNS:
        values[c][row : row + length] = values[c][row - back : row - back + length].copy()
    return row + length


def _shifted(values: Values, row: int, move: float, rng: np.random.Generator) -> int:
    length = int(rng.integers(3, 21))
    for c in COLUMNS:
        values[c][row : row + length] = values[c][row - 1 : row + length - 1].copy()
    return row + length


def _zero(values: Values, row: int, move: float, rng: np.random.Generator) -> int:
    for c in rng.choice(COLUMNS[:-1], size=int(rng.integers(1, 5)), replace=False):
        values[str(c)][row] = 0.0
    return row + 1


def _constant(*, with_volume: bool) -> Plant:
    def plant(values: Values, row: int, move: float, rng: np.random.Generator) -> int:
        end = row + int(rng.integers(6, 41))
        for c in COLUMNS[:-1]:
            values[c][row:end] = values["close"][row - 1]
        values["volume"][row:end] *= with_volume
        return end

    return plant


PLANTS: Mapping[str, Plant] = MappingProxyType(
    {
        "close": _close,
        "open": _open,
        "bars": _bars,
        "wick": _wick,
        "decimal shift of bars": _decimal_bar,
        "decimal shift of one price": _decimal_field,
        "high and low swapped": _swap("high", "low", 1, 5),
        "close and volume swapped": _swap("close", "volume", 1, 5),
        "open and close swapped": _swap("open", "close", 24, 100),
        "repeated block": _block,
        "rows shifted by one": _shifted,
        "zero price": _zero,
        "constant price, traded": _constant(with_volume=True),
        "constant price, silent": _constant(with_volume=False),
    }
)
SIZED = ("close", "open", "bars", "wick")
