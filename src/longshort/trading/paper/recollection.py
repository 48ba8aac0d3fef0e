"""What the journal of a paper account says of its session, laid out for comparing it with a replay.

A journal is read line by line without opening it for writing, so a running session may be looked at; a line that is
still being written is passed over.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from longshort.base.errors import DataError
from longshort.data.bars import Bars
from longshort.models.forecast import Forecast
from longshort.policy.contract import UNITS
from longshort.policy.exposure import Exposure, Wishes
from longshort.study.following import Following
from longshort.study.gap.split import Booked, BookedFill
from longshort.trading.paper.account import DECIDED, ROW
from longshort.trading.paper.diary import NAME, Line
from longshort.trading.paper.missed import cause_of
from longshort.trading.paper.rows import from_line, joined
from longshort.trading.paper.terms import BEGUN

FILLED, LIQUIDATED, FUNDING = "filled", "liquidated", "funding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recollection:
    """A session: the rows as they came, what had changed before each, its decisions, and what it booked.

    `missed` says of each close which cause its missed decision counts under, "" where it was followed.
    """

    rows: tuple[Bars, ...]
    changed: tuple[tuple[Bars, ...], ...]
    passed: Exposure
    missed: tuple[str, ...]
    booked: Booked

    def missed_by(self, cause: str) -> Bool[np.ndarray, " time"]:
        """The closes whose decisions were missed for a cause."""
        return np.array([one == cause for one in self.missed], dtype=np.bool_)

    @property
    def bars(self) -> Bars:
        """The rows as they came."""
        return joined(self.rows)


def journal_lines(folder: Path) -> list[Line]:
    """The whole lines of a folder's journal; raise `DataError` where there is none or one is damaged."""
    path = folder / NAME
    if not path.is_file():
        raise DataError(
            "there is no session here.", where=folder, remedy="Begin one with `longshort paper STUDY`."
        )
    texts = path.read_bytes().split(b"\n")[:-1]
    try:
        return [dict(json.loads(text)) for text in texts]
    except (ValueError, TypeError) as error:
        raise DataError("its journal is damaged.", where=path, remedy="Put back a copy.") from error


def recollect(lines: Sequence[Line], pattern: Bars, starting_balance: float) -> Recollection:
    """A session from its lines; raise `DataError` where nothing was decided yet or lines are not understood."""
    try:
        told = [line for line in lines if line["kind"] == ROW]
        decided = [line for line in lines if line["kind"] == DECIDED]
        if not lines or lines[0]["kind"] != BEGUN or not decided:
            raise DataError("nothing was decided in this session yet.")
        told = told[: len(decided)]
        return Recollection(
            rows=tuple(from_line(line, pattern) for line in told),
            changed=tuple(tuple(from_line(one, pattern) for one in line["changed"]) for line in told),
            passed=_passed(decided, pattern.symbols),
            missed=tuple(cause_of(line["circumstances"]["missed"]) for line in decided),
            booked=_booked(lines, decided, pattern.symbols, starting_balance),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"its journal is not understood: {type(error).__name__} {error}.") from error


class Retold:
    """Steps a model over a session's rows as the session did, past rows that had changed included."""

    def __init__(self, following: Following, warm: Bars, session: Recollection) -> None:
        self._following, self._session = following, session
        self._known = [warm]
        self._row = 0
        self.forecast: Forecast | None = None

    def on_close(self, bars: Bars) -> Wishes:
        """The wishes at the next row; `bars` only says that it has closed."""
        t, past = self._row, None
        if self._session.changed[t]:
            past = corrected(joined(self._known), self._session.changed[t])
            self._known = [past]
        row = self._session.rows[t]
        self._known.append(row)
        self._row += 1
        self.forecast, wishes = self._following.step(row, past)
        return wishes


class Stepped:
    """Steps a model over the rows that it is shown."""

    def __init__(self, following: Following) -> None:
        self._following = following
        self.forecast: Forecast | None = None

    def on_close(self, bars: Bars) -> Wishes:
        """The wishes at one more closed row."""
        self.forecast, wishes = self._following.step(bars)
        return wishes


def corrected(known: Bars, changed: Sequence[Bars]) -> Bars:
    """A stretch with some of its rows replaced."""
    for row in changed:
        place = int(np.searchsorted(known.closed_at, row.closed_at[0]))
        known = joined([known[:place], row, known[place + 1 :]])
    return known


def _passed(decided: Sequence[Line], symbols: tuple[str, ...]) -> Exposure:
    target, stop, take = (
        np.array([line["passed"][name] for line in decided], dtype=np.float64) for name in Wishes._fields
    )
    closed_at = np.array([line["closed_at"] for line in decided], dtype=np.int64)
    return Exposure(closed_at=closed_at, symbols=symbols, target=target, stop=stop, take=take)


def _booked(
    lines: Sequence[Line], decided: Sequence[Line], symbols: tuple[str, ...], starting_balance: float
) -> Booked:
    cash = np.array([starting_balance, *(line["cash"] for line in decided)])
    flows, fills = np.zeros(len(decided)), list[BookedFill]()
    for row, line in _fill_lines(lines, len(decided)):
        fills.append(_fill(line, row, symbols.index(line["symbol"])))
        flows[row] += -line["lost"] if line["kind"] == LIQUIDATED else line["realized"] - line["fee"]
        flows[row] += np.nan if line["kind"] == LIQUIDATED and FUNDING not in decided[row] else 0.0
    flows += [line.get("insurance", 0.0) for line in decided]
    unexplained = np.round((flows - np.diff(cash)) * UNITS) / UNITS
    funding = np.array([line.get(FUNDING, np.nan) for line in decided])
    told = ~np.isnan(funding)
    return Booked(
        closed_at=np.array([line["closed_at"] for line in decided], dtype=np.int64),
        equity=np.array([line["equity"] for line in decided]),
        quantity=np.array([[p["quantity"] for p in line["positions"]] for line in decided], dtype=np.float64),
        funding=np.where(told, funding, unexplained),
        fills=tuple(fills),
        moved=np.where(told, np.round((funding - unexplained) * UNITS) / UNITS, 0.0),
        apart=bool(told.all()),
    )


def _fill_lines(lines: Sequence[Line], closes: int) -> list[tuple[int, Line]]:
    """Each fill with the row in whose bar it happened: that of the decision that comes next."""
    found: list[tuple[int, Line]] = []
    row = 0
    for line in lines:
        row += line["kind"] == DECIDED
        if line["kind"] in (FILLED, LIQUIDATED) and row < closes:
            found.append((row, line))
    return found


def _fill(line: Mapping[str, Any], row: int, asset: int) -> BookedFill:
    return BookedFill(
        row=row,
        asset=asset,
        quantity=line["quantity"],
        price=line["price"],
        notional=line.get("notional", 0.0),
        fee=line.get("fee"),
    )
