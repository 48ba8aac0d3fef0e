"""One series on its way into the lake: what is wished of it, what nobody was asked for yet, and what came."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl

from longshort.base.clock import DAY, HOUR, Interval
from longshort.base.window import Window, missing_windows
from longshort.connect.listing import Listing
from longshort.data.funding import funding_holes
from longshort.data.lake import Measure, Merge, Series
from longshort.data.staging import Staging

MILLISECOND = 1_000_000
USUAL_CADENCE = 8 * HOUR  # of funding: what progress counts in

Source = Literal["auto", "archive", "rest"]
Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to fetch: symbols as the user wrote them, from `since_at` up to `until_at` or now.

    `holes` asks once more for what is missing between rows on record, and for nothing else.
    """

    venue: str
    symbols: tuple[str, ...]
    interval: Interval
    since_at: int
    until_at: int | None = None
    measures: tuple[Measure, ...] = ("bars", "funding")
    source: Source = "auto"
    holes: bool = False
    replace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What one series received, `missing` of the wished rows excepted; `notes` are sentences for the user."""

    series: Series
    unified: str
    rows: int
    added: int
    changed: int
    missing: int
    first_at: int | None
    last_at: int | None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Target:
    """One series under way."""

    series: Series
    listing: Listing
    interval: Interval | None
    wanted: Window
    staging: Staging
    report: Report
    on_record: pl.DataFrame | None = None
    done: int = 0
    notes: list[str] = field(default_factory=list[str])

    def missing(self) -> list[Window]:
        """What of the wish nobody was asked for yet."""
        return missing_windows(self.wanted, self.staging.windows())

    def instants(self, rows: pl.DataFrame) -> list[int]:
        """When each row opened or happened."""
        return (rows[self.series.columns[0]].to_physical() * MILLISECOND).to_list()

    def holes(self) -> list[Window]:
        """Where rows are missing: between others, and at the ends of what is wished."""
        self.on_record = self.staging.rows().select(self.series.columns[0])
        at = np.array(self.instants(self.on_record), dtype=np.int64)
        if self.interval is None:
            return [Window(first, last + 1) for first, last in funding_holes(at).tolist()]
        after = np.flatnonzero(np.diff(at) > self.interval.ns)
        between = [Window(int(at[k]) + self.interval.ns, int(at[k + 1])) for k in after]
        return [*between, *self._ends(at.tolist(), self.interval.ns)]

    def _ends(self, at: list[int], step: int) -> list[Window]:
        """What is missing at the beginning, if it is less than a day (else it was not listed), and at the end."""
        if not at:
            return []
        ends = [Window(self.wanted.from_at, at[0])] if at[0] - self.wanted.from_at < DAY else []
        ends += [Window(at[-1] + step, self.wanted.to_at)] if self.listing.active else []
        return [end for end in ends if end.from_at < end.to_at]

    def wished(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows that are not on record, where only holes are wished for."""
        return rows if self.on_record is None else rows.join(self.on_record, on=rows.columns[0], how="anti")

    def keep(self, asked: Sequence[Window], rows: pl.DataFrame) -> None:
        """Put what came where a crash cannot reach it."""
        self.staging.put(asked, rows)

    def advance(self, windows: Sequence[Window]) -> None:
        """Move the progress on by what was answered."""
        step = self.interval.ns if self.interval else USUAL_CADENCE
        of = max(1, (self.wanted.to_at - self.wanted.from_at) // step)
        self.done += sum(window.to_at - window.from_at for window in windows)
        self.report(f"{self.series.symbol} {self.series.kind}", min(self.done // step, of), of)

    def fetched(self, merge: Merge) -> Fetched:
        """What is there now."""
        at = self.instants(merge.rows)
        missing = 0
        if self.interval and at:
            step = self.interval.ns
            ends = sum(w.to_at - w.from_at for w in self._ends(at, step))
            missing = (at[-1] - at[0] + ends) // step + 1 - len(at)
        return Fetched(
            series=self.series,
            unified=self.listing.unified,
            rows=len(at),
            added=merge.added,
            changed=merge.changed,
            missing=missing,
            first_at=at[0] if at else None,
            last_at=at[-1] if at else None,
            notes=tuple(self.notes),
        )
