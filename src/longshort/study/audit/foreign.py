"""Other people's forecasts and prices become cases that can be judged; all that is asked of them is a file.

Nothing is filled: a forecast without a price, or a price without a forecast, is left out and counted.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from longshort.base.clock import format_instant
from longshort.base.errors import DataError
from longshort.data.files.columns import read_instants
from longshort.data.files.reading import read_frame
from longshort.study.audit.cases import Instants, Kind, Numbers, Stated, Track, case_of, kind_of, own_track
from longshort.study.audit.columns import Named, Stamped, is_stamped_at_open, name_columns, name_prices
from longshort.study.audit.plausibility import FEW, Case, judge
from longshort.study.audit.record import Audit

MILLISECOND = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person may say that a file does not: `columns` by role, levels or returns, what its instants mean."""

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    kind: Kind | None = None
    stamped: Stamped | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """The cases of a file, and sentences that say how it was understood."""

    cases: tuple[Case, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spoken:
    """One column of forecasts within one group of rows, and what the group is called."""

    forecast: str
    actual: str
    symbol: str
    name: str
    horizon: int | None
    stamped: Stamped


def audit_forecasts(
    forecasts: Path, prices: Path | None, options: Options, clock: Callable[[], float]
) -> tuple[Audit, tuple[str, ...]]:
    """Judge a file of forecasts; the audit, and how the file was understood."""
    foreign = read_foreign(forecasts, prices, options)
    audit = Audit(title=f"Forecasts of {forecasts.name}", findings=tuple(judge(foreign.cases, clock)))
    return audit, foreign.notes


def read_foreign(forecasts: Path, prices: Path | None, options: Options) -> Foreign:
    """Read forecasts, and prices where they lie in a file of their own; raise `DataError`."""
    frame = _read(forecasts)
    named = name_columns(frame, forecasts, options.columns, alone=prices is None)
    stamped = options.stamped or named.stamped
    market = _prices(prices, named) if prices else {}
    notes = [_how(named, stamped)]
    cases: list[Case] = []
    short: list[str] = []
    for stated in _statements(_with_instants(frame, forecasts, named), forecasts, named, stamped):
        track = _track(stated, market, forecasts, options)
        kind = options.kind or kind_of(stated, track)
        case = case_of(stated, track, kind, forecasts)
        notes += _noted(stated, case, kind, forced=options.kind is not None)
        if len(case.came) < FEW:
            short.append(f"{case.name} {len(case.came)}")
        else:
            cases.append(case)
    if not cases:
        raise DataError(
            f"too few forecasts beside what came: {', '.join(short[:3])}; {FEW} are needed.",
            where=forecasts,
            remedy="Add rows, or say with --column which columns are meant.",
        )
    if short:
        notes.append(f"Left out, with fewer than {FEW} forecasts: {', '.join(short)}.")
    return Foreign(cases=tuple(cases), notes=tuple(dict.fromkeys(notes)))


def _read(path: Path) -> pl.DataFrame:
    frame = read_frame(path)
    frame = frame.rename({name: "index" for name in frame.columns if not name.strip()})
    return frame.with_row_index("row", offset=1) if "row" not in frame.columns else frame


def _with_instants(frame: pl.DataFrame, path: Path, named: Named) -> pl.DataFrame:
    for column in (named.time, named.made):
        frame = read_instants(frame, column, path) if column else frame
    return frame


def _how(named: Named, stamped: Stamped) -> str:
    columns = ", ".join(dict.fromkeys(name for name, _, _ in named.forecasts))
    what = "the instant at which they were made" if stamped == "made" else "the instant that they are about"
    rows = f"column {named.time} is read as {what}" if named.time else "rows are taken in their order"
    return f"Forecasts: {columns}; {rows}."


def _statements(frame: pl.DataFrame, path: Path, named: Named, stamped: Stamped) -> Iterator[Stated]:
    keys = [key for key in (named.symbol, named.model, named.horizon) if key]
    for forecast, actual, label in named.forecasts:
        for values, rows in frame.group_by(keys, maintain_order=True) if keys else [((), frame)]:
            said = {key: str(value) for key, value in zip(keys, values, strict=True)}
            symbol = said.get(named.symbol, "")
            spoken = _Spoken(
                forecast=forecast,
                actual=actual,
                symbol=symbol,
                name=" ".join(word for word in (symbol, said.get(named.model, ""), label) if word),
                horizon=_whole(said[named.horizon], path) if named.horizon else None,
                stamped=stamped,
            )
            yield from _by_distance(_ordered(rows, named), path, named, spoken)


def _by_distance(rows: pl.DataFrame, path: Path, named: Named, spoken: _Spoken) -> Iterator[Stated]:
    """One series of forecasts; with cutoffs and no horizon, one for each distance from the cutoff in rows."""
    at = _instants(rows, named.time) if named.time else np.arange(len(rows), dtype=np.int64)
    ahead = _distance(rows, at, named) if spoken.horizon is None else np.full(len(rows), spoken.horizon)
    steps = [int(step) for step in np.unique(ahead[ahead > 0])]
    if not steps:
        raise DataError("no forecast was made before what it forecasts.", where=path)
    forecast = _numbers(rows, spoken.forecast, path)
    actual = _numbers(rows, spoken.actual, path) if spoken.actual else None
    for step in steps:
        chosen = ahead == step
        _refuse_twice(at[chosen], spoken, path, timed=bool(named.time))
        about = f"{step} ahead" if len(steps) > 1 or spoken.horizon else ""
        yield Stated(
            name=" ".join(word for word in (spoken.name, about) if word) or spoken.forecast,
            symbol=spoken.symbol,
            horizon=step,
            stamped=spoken.stamped,
            at=at[chosen],
            forecast=forecast[chosen],
            actual=actual[chosen] if actual is not None else None,
            hint=f"{spoken.forecast} {spoken.actual}".lower(),
        )


def _distance(rows: pl.DataFrame, at: Instants, named: Named) -> Instants:
    if not named.made:
        return np.ones(len(rows), dtype=np.int64)
    made = _instants(rows, named.made)
    known = np.unique(np.concatenate([at, made]))
    return np.searchsorted(known, at) - np.searchsorted(known, made)


def _ordered(rows: pl.DataFrame, named: Named) -> pl.DataFrame:
    return rows.sort(named.time, maintain_order=True) if named.time else rows


def _refuse_twice(at: Instants, spoken: _Spoken, path: Path, *, timed: bool) -> None:
    twice = np.flatnonzero(np.diff(at) == 0)
    if timed and len(twice):
        of = f" of {spoken.name}" if spoken.name else ""
        raise DataError(
            f"{format_instant(int(at[twice[0]]))}{of} stands twice, with {len(twice):,} more such rows.",
            where=path,
            remedy="Keep one row per instant, or name the column that tells them apart (symbol, model, horizon).",
        )


def _prices(path: Path, named: Named) -> dict[str, Track]:
    frame = _read(path)
    time, symbol, price = name_prices(frame, path)
    frame = read_instants(frame, time, path).sort(time)
    tracks: dict[str, Track] = {}
    for (name,), rows in frame.group_by(symbol, maintain_order=True) if symbol else [(("",), frame)]:
        at, value = _instants(rows, time), _numbers(rows, price, path)
        if len(np.unique(at)) < len(at):
            raise DataError(f"prices of {name or 'one instant'} stand twice.", where=path)
        if is_stamped_at_open(time) and named.time == "closed_at":
            at = at + int(np.median(np.diff(at)))
        known = np.isfinite(value)
        tracks[str(name)] = Track(at=at[known], value=value[known], levels=True)
    return tracks


def _track(stated: Stated, market: Mapping[str, Track], path: Path, options: Options) -> Track:
    """What came for a group: from the file of prices, else from its own column."""
    if market:
        if stated.symbol in market or len(market) == 1:
            return market.get(stated.symbol) or next(iter(market.values()))
        raise DataError(
            f"there are no prices of {stated.symbol or 'it'}: the file has {', '.join(sorted(market)[:5])}.",
            where=path,
        )
    if stated.actual is None:
        raise DataError(
            "nothing says what came.",
            where=path,
            remedy="Add its column (actual, or Close), say --column actual=NAME, or hand in --prices FILE.",
        )
    return own_track(stated, options.kind)


def _noted(stated: Stated, case: Case, kind: Kind, *, forced: bool) -> list[str]:
    why = "as said" if forced else ("they lie near the price" if kind == "levels" else "they are no prices")
    left = len(stated.forecast) - len(case.came)
    notes = [f"They are {kind}: {why}."]
    if left > stated.horizon:
        notes.append(
            f"{case.name}: {left:,} rows lack a forecast, what came, or the value before, and are left out."
        )
    return notes


def _instants(rows: pl.DataFrame, column: str) -> Instants:
    return rows[column].dt.timestamp("ms").to_numpy().astype(np.int64) * MILLISECOND


def _numbers(rows: pl.DataFrame, column: str, path: Path) -> Numbers:
    if not rows[column].dtype.is_numeric():
        raise DataError(f"column {column} holds {rows[column].dtype}, not numbers.", where=path)
    return rows[column].cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)


def _whole(text: str, path: Path) -> int:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if number < 1 or number != int(number):
        raise DataError(
            f"a horizon of {text!r} rows makes no sense.", where=path, remedy="Count rows from 1."
        )
    return int(number)
