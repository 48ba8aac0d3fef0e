"""Rows of bars as JSON and back, bit for bit, and rows that follow each other joined to one stretch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any, cast

import numpy as np

from longshort.base.errors import DataError
from longshort.base.files import write_atomically
from longshort.base.instrument import FeeTier, Instrument, MaintenanceTier
from longshort.data.bars import Bars, Gauge

VALUES = ("open", "high", "low", "close", "volume", "funding_rate")
FLAGS = ("present", "listed", "funding_covered")
GAUGE = "gauge_"
EXACT = ("tick", "lot", "min_notional", "contract_size")


def to_line(row: Bars) -> dict[str, Any]:
    """One row as plain values; null stands for what is not known.

    Python writes a float with as many digits as it takes to read the same one back.
    """
    arrays = {name: getattr(row, name)[0] for name in (*VALUES, *FLAGS)}
    gauges = {name: row.gauges[name][0] for name in sorted(row.gauges)}
    return {"closed_at": int(row.closed_at[0]), **arrays, "gauges": gauges}


def from_line(line: Mapping[str, Any], pattern: Bars) -> Bars:
    """The row that a line was written of; its coins are those of the pattern."""
    grids = {name: np.array([line[name]], dtype=np.float64) for name in VALUES}
    flags = {name: np.array([line[name]], dtype=np.bool_) for name in FLAGS}
    gauges = {
        cast("Gauge", name): np.array([told], dtype=np.float64)
        for name, told in cast("Mapping[str, Any]", line["gauges"]).items()
    }
    closed_at = np.array([line["closed_at"]], dtype=np.int64)
    return replace(pattern[:0], closed_at=closed_at, gauges=gauges, **grids, **flags)


def joined(parts: Sequence[Bars]) -> Bars:
    """Stretches in time order as one; what only some of them measured is NaN in the others."""
    names: list[Gauge] = sorted({name for part in parts for name in part.gauges})
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("closed_at", *VALUES, *FLAGS)
    }
    gauges = {name: np.concatenate([part.gauge(name) for part in parts]) for name in names}
    return replace(parts[0], gauges=gauges, **arrays)


def differing(known: Bars, told: Bars) -> list[int]:
    """The rows of `told` that are not, to the bit, those of `known` at the same closes."""
    found = np.searchsorted(known.closed_at, told.closed_at)
    return [
        t
        for t, row in enumerate(found.tolist())
        if row < len(known)
        and known.closed_at[row] == told.closed_at[t]
        and known[row : row + 1].digest() != told[t : t + 1].digest()
    ]


def arrays_of(bars: Bars) -> dict[str, np.ndarray]:
    """A stretch of bars as arrays by name."""
    arrays: dict[str, np.ndarray] = {name: getattr(bars, name) for name in ("closed_at", *VALUES, *FLAGS)}
    return arrays | {GAUGE + name: grid for name, grid in bars.gauges.items()}


def bars_of(arrays: Mapping[str, np.ndarray], pattern: Bars) -> Bars:
    """The stretch that the arrays are of, with the pattern's coins."""
    gauges = {
        cast("Gauge", name.removeprefix(GAUGE)): arrays[name] for name in arrays if name.startswith(GAUGE)
    }
    plain: dict[str, Any] = {name: arrays[name] for name in ("closed_at", *VALUES, *FLAGS)}
    return replace(pattern[:0], gauges=gauges, **plain)


def save_bars(path: Path, bars: Bars) -> None:
    """Keep a stretch of bars beside a journal."""
    arrays: dict[str, Any] = arrays_of(bars)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    write_atomically(path, write)


def load_bars(path: Path, pattern: Bars) -> Bars:
    """The stretch that was kept, of the pattern's coins; raise `DataError` where it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            return bars_of(kept, pattern)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            "the bars that the model was warmed up with cannot be read.",
            where=path,
            remedy="Put back a copy, or move the folder away to begin anew.",
        ) from error


def instrument_line(instrument: Instrument) -> dict[str, Any]:
    """A contract as plain values; an endless tier ends with null."""
    return asdict(instrument) | {name: str(getattr(instrument, name)) for name in EXACT}


def instrument_of(line: Mapping[str, Any]) -> Instrument:
    """The contract that a line was written of."""
    tiers = [
        tier | {"to_notional": inf if tier["to_notional"] is None else tier["to_notional"]}
        for tier in line["tiers"]
    ]
    told: dict[str, Any] = {**line, **{name: Decimal(line[name]) for name in EXACT}}
    told["fees"] = tuple(FeeTier(**fee) for fee in line["fees"])
    told["tiers"] = tuple(MaintenanceTier(**tier) for tier in tiers)
    return Instrument(**told)
