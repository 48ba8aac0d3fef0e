"""What an evaluation found, as one record: the page, the terminal and the JSON all print this and nothing else."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from html import escape
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from longshort.base.calendar import AlwaysOpen
from longshort.base.files import jsonable
from longshort.data.bars import Change, Origin
from longshort.data.certificate.findings import count_of
from longshort.study.section import Flag, Section

NAMED = 4  # series or coins that a note names


class Word(StrEnum):
    """The three words a verdict can have."""

    BEATS = "BEATS"
    NO_EDGE = "NO EDGE"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The model against one opponent, on one question, horizon and metric; positive skill: the model is better.

    `p_value` is one-sided, before correction; `reason` says why there was no test where there was none.
    """

    question: str
    horizon_bars: int
    opponent: str
    metric: str
    skill: float
    unit: str
    ci95: tuple[float, float]
    p_value: float
    n_instants: int
    n_coins: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to one question at one horizon, against the opponent that is hardest to beat.

    `p_value` is the largest over opponents, Holm-corrected over questions and horizons; `bars_to_decide` is how many
    scored instants would settle an INCONCLUSIVE if the skill stayed what it is (None where no number would).
    """

    question: str
    horizon_bars: int
    word: Word
    p_value: float
    hardest: Comparison | None
    bars_to_decide: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Equity per close of one strategy, as a multiple of the starting balance, after all costs."""

    name: str
    closed_at: Int64[np.ndarray, " time"]
    equity: Float64[np.ndarray, " time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profit:
    """Money over the scored span, per strategy, after all costs; fractions of the starting balance."""

    name: str
    net_return: float
    sharpe: float
    max_drawdown: float
    trades: int
    turnover: float
    fees: float
    slippage: float
    funding: float
    break_even_bps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldSpan:
    """When one fold trained and when it was tested; `gap_bars` is derived from the horizon, never typed.

    The span that early stopping was decided on is drawn apart where it is stated.
    """

    train_from: int
    train_until: int
    test_from: int
    test_until: int
    gap_bars: int
    validation_from: int | None = None
    validation_until: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything an evaluation found. Instants are UTC nanoseconds.

    `scores[model][horizon][metric]` holds mean metrics (`mae rmse mase crps log_score pinball qlike accuracy ...`);
    `coverage[model][horizon][level]` the share of outcomes inside central intervals. `notes` are sentences the reader
    must see: what was not computed and why, holdout openings. `flags` are what a careful reader would ask about,
    `sections` the evidence beyond the verdict, in order. `origins` are the series of the lake that the
    bars were made of, `changes` what cleaning did to them; simulated bars have neither.
    """

    title: str
    created_at: int
    seconds: float
    settings: dict[str, Any]
    hashes: dict[str, str]
    versions: dict[str, str]
    symbols: tuple[str, ...]
    interval: str
    folds: tuple[FoldSpan, ...]
    seeds: tuple[int, ...]
    horizons: tuple[int, ...]
    model: str
    opponents: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    comparisons: tuple[Comparison, ...]
    scores: dict[str, dict[int, dict[str, float]]]
    coverage: dict[str, dict[int, dict[float, float]]]
    pit: dict[int, tuple[float, ...]] = field(default_factory=dict[int, tuple[float, ...]])
    curves: tuple[Curve, ...] = ()
    profits: tuple[Profit, ...] = ()
    trials: int = 0
    holdout: bool = False
    holdout_openings: int = 0
    notes: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    sections: tuple[Section, ...] = ()
    origins: tuple[Origin, ...] = ()
    changes: tuple[Change, ...] = ()
    calendar: str = AlwaysOpen().name

    @property
    def noun(self) -> str:
        """What the columns are: coins around the clock, stocks in sessions."""
        return noun_of(self.calendar)

    def verdict(self, question: str, horizon_bars: int) -> Verdict | None:
        """The verdict on one question at one horizon, if it was asked."""
        return next(
            (v for v in self.verdicts if (v.question, v.horizon_bars) == (question, horizon_bars)), None
        )

    def counted(self, *, trials: int, holdout_openings: int) -> "Report":
        """The same report, knowing how often its data was evaluated and its holdout opened."""
        return replace(self, trials=trials, holdout_openings=holdout_openings)

    def beside(self, sections: Sequence[Section]) -> "Report":
        """The same report with sections of other origin behind its own."""
        return replace(self, sections=(*self.sections, *sections))

    def to_polars(self) -> pl.DataFrame:
        """One row per comparison, with the corrected word of its question and horizon."""
        return pl.DataFrame(self._rows(), infer_schema_length=None)

    def _rows(self) -> list[dict[str, Any]]:
        words = {(v.question, v.horizon_bars): v.word.value for v in self.verdicts}
        return [
            asdict(c) | {"verdict": words.get((c.question, c.horizon_bars), "")} for c in self.comparisons
        ]

    def _repr_html_(self) -> str:
        body = "".join(
            f"<tr><td>{v.question}</td><td>{v.horizon_bars}</td><td><b>{v.word.value}</b></td>"
            f"<td>{v.p_value:.4f}</td><td>{escape(v.hardest.opponent) if v.hardest else ''}</td></tr>"
            for v in self.verdicts
        )
        head = (
            "<tr><th>question</th><th>bars ahead</th><th>verdict</th><th>p</th><th>hardest opponent</th></tr>"
        )
        return f"<table><caption>{escape(self.title)}</caption>{head}{body}</table>"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values that JSON can hold."""
        plain = jsonable(asdict(self))
        assert isinstance(plain, dict)
        return plain

    def summary(self) -> dict[str, Any]:
        """What `longshort evaluate --json` prints: one row per comparison with the corrected word."""
        plain = jsonable(
            {
                "seconds": round(self.seconds, 1),
                "folds": len(self.folds),
                "seeds": len(self.seeds),
                "rows": self._rows(),
                "coverage_by_horizon": self.coverage.get(self.model, {}),
            }
        )
        assert isinstance(plain, dict)
        return plain


def noun_of(calendar: str) -> str:
    """What trades in a calendar.

    >>> noun_of("24/7"), noun_of("XNYS")
    ('coins', 'stocks')
    """
    return "coins" if calendar == AlwaysOpen().name else "stocks"


def data_notes(origins: Sequence[Origin], changes: Sequence[Change] = ()) -> list[str]:
    """What a reader must know of the data before anything else; nothing where all is clean and as it was told.

    >>> holed = Origin(symbol="BTCUSDT", kind="bars-1h", grade="usable", rows=9, missing=1)
    >>> data_notes([holed])
    ['1 of 1 series is not clean but usable: BTCUSDT bars-1h. `longshort check` says why.']
    """
    notes: list[str] = []
    for grade, words in (("broken", "broken, and accepted by name"), ("usable", "not clean but usable")):
        found = [f"{o.symbol} {o.kind}" for o in origins if o.grade == grade]
        if found:
            verb = "is" if len(found) == 1 else "are"
            named = ", ".join(found[:NAMED]) + (", ..." if len(found) > NAMED else "")
            notes.append(
                f"{len(found)} of {len(origins)} series {verb} {words}: {named}. `longshort check` says why."
            )
    if changes:
        symbols = list(dict.fromkeys(c.symbol for c in changes))
        named = ", ".join(symbols[:NAMED]) + (", ..." if len(symbols) > NAMED else "")
        notes.append(f"Cleaning changed {count_of(sum(c.bars for c in changes), 'bar')}: {named}.")
    return notes
