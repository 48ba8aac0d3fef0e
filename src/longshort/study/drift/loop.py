"""A model that is kept true: watched, retrained by schedule or by drift, replaced by test, set aside when it breaks.

The walk is honest row by row. At the close of row t the loop knows the outcomes of forecasts made `horizon` rows
before or earlier, and a model trained there sees only labels that had come; it forecasts from row t + 1 on. Outcomes
of overlapping forecasts say the same thing several times: every test looks at every `horizon`-th row.
"""

from dataclasses import dataclass

import numpy as np

from longshort.base.errors import NotComputable
from longshort.base.journal import Event, Journal, MemoryJournal
from longshort.models.forecaster import Forecaster
from longshort.models.opponents.scale import ScaleModel, ewma
from longshort.study.drift.champion import Outcome, Trial
from longshort.study.drift.detectors import Closed, Coverage, Detector, Inputs, Residuals, Skill
from longshort.study.drift.events import Drifted, Expired, Resumed, StoodDown, TrialBegan, TrialEnded
from longshort.study.drift.lineage import Lineage, Rules
from longshort.study.drift.page import mean_known
from longshort.study.drift.shadow import Generation, Shadow, fit, fold_known, standardised
from longshort.study.drift.standdown import StandDown
from longshort.study.market import Market, first_test_row

EXPIRED = "expired"
SUPERSEDED = "superseded"
GROWTH = 1.4  # of the rows since a drift, from one challenger to the next
SETTLED = 4.0  # times `fresh_bars`: from then on an alarm speaks of another drift


def adapt(
    market: Market,
    forecaster: Forecaster,
    rules: Rules,
    *,
    rows: range | None = None,
    journal: Journal | None = None,
) -> Lineage:
    """Walk forward over some rows (default: those that a study tests, first to last) and keep the model true.

    Every change is appended to the journal when it happens. Raise `NotComputable` for a forecaster without a law.
    """
    rows = rows or range(first_test_row(market.study, market.bars), market.development_rows)
    walker = _Walker(market, forecaster, rules, rows.start, journal or MemoryJournal())
    in_charge, adding = np.empty(len(rows), dtype=np.int64), np.empty(len(rows), dtype=np.bool_)
    for at, row in enumerate(rows):
        in_charge[at], adding[at] = walker.step(row)
    return Lineage(
        rows=rows,
        models=tuple(walker.models),
        champion=in_charge,
        adding=adding,
        events=tuple(walker.events),
    )


@dataclass(frozen=True, slots=True)
class _Seat:
    """A model, and a simple rival that learned from the same rows."""

    made: Generation
    shadow: Shadow
    rival: Shadow


@dataclass(slots=True)
class _Pending:
    """A drift that calls for a challenger once this many rows have come since it began."""

    since: int
    rows: int


class _Watch:
    """The detectors and the stand-down of one champion; a new champion has new ones."""

    def __init__(self, market: Market, rules: Rules, seat: _Seat) -> None:
        names = market.recipe.names
        self._inputs = standardised(
            market.panel, names, seat.made.fold.train, range(seat.made.from_row, len(market.panel))
        )
        self._from_row = seat.made.from_row
        self._detectors: tuple[Detector, ...] = (Inputs(names), Residuals(), Coverage(), Skill())
        self.stand_down = StandDown(rules.stand_down)

    def step(self, seat: _Seat, row: int, origin: int | None) -> list[Drifted]:
        """Take in a closed row and the outcome of the forecast made at `origin`, if one has come."""
        pit = np.full(self._inputs.shape[1], np.nan) if origin is None else seat.shadow.pit(origin)
        gain = float("nan") if origin is None else _gain(seat.shadow, seat.rival, origin)
        closed = Closed(row=row, inputs=self._inputs[row - self._from_row], pit=pit, gain_nats=gain)
        self.stand_down.step(row, pit, gain)
        found = [detector.step(closed) for detector in self._detectors]
        return [Drifted(0, d.kind, d.since, d.statistic, d.detail) for d in found if d is not None]


class _Walker:
    def __init__(
        self, market: Market, forecaster: Forecaster, rules: Rules, first: int, journal: Journal
    ) -> None:
        self.models: list[Generation] = []
        self.events: list[Event] = []
        self._market, self._forecaster, self._rules, self._journal = market, forecaster, rules, journal
        self._horizon_bars = rules.horizon_bars or min(market.targets.horizons)
        self._champion = self._make(first, max(0, first - rules.window_bars), "first")
        if not self._champion.made.fitted.predict(market.panel, range(first, first + 1)).dense:
            raise NotComputable(f"{forecaster.name} states no distribution, so that nothing can be watched.")
        self._watch = _Watch(market, rules, self._champion)
        self._challenger: _Seat | None = None
        self._trial = Trial(rules.trial, 1)
        self._trials = 0  # of this champion
        self._heir: _Seat | None = None
        self._pending: _Pending | None = None
        self._regime_from = 0
        self._aside = ""

    def step(self, row: int) -> tuple[int, bool]:
        """Who is in charge after the close of a row, and whether exposure may be added."""
        self._observe(row)
        self._judge(row)
        expired = self._retire(row)
        self._retrain(row, expired=expired)
        self._tell_aside(row, EXPIRED if expired else self._watch.stand_down.reason)
        return self._champion.made.number, not self._aside

    def _observe(self, row: int) -> None:
        origin = self._known_origin(row, self._champion)
        for drift in self._watch.step(self._champion, row, origin):
            self._tell(
                Drifted(self._at(row), drift.what, self._at(drift.since), drift.statistic, drift.detail)
            )
            if drift.what in self._rules.retrain_on:
                self._expect(drift.since)

    def _expect(self, since: int) -> None:
        """Want a challenger for the rows since a drift; alarms of a regime that is being learned are no news."""
        learning = self._pending is not None and self._pending.rows <= SETTLED * self._rules.fresh_bars
        if not learning:
            self._pending = _Pending(since, self._rules.fresh_bars)

    def _judge(self, row: int) -> None:
        challenger = self._challenger
        origin = self._known_origin(row, challenger) if challenger else None
        if challenger is None or origin is None:
            return
        outcome = self._trial.step(_gain(challenger.shadow, self._champion.shadow, origin))
        if outcome is Outcome.RUNNING:
            return
        self._end_trial(row, challenger, outcome)
        if outcome is Outcome.PROMOTED:
            if challenger.made.reason == "drift":
                self._regime_from = challenger.made.fold.train.start
            self._enthrone(challenger)
        elif self._trial.mean_gain_nats >= -self._rules.trial.margin_nats:
            self._heir = challenger

    def _retire(self, row: int) -> bool:
        """Let an heir take over from a model that is too old; True where nobody may."""
        age = self._age(row, self._champion)
        if age <= self._rules.expiry_bars:
            return False
        heir = self._heir if self._heir and self._age(row, self._heir) <= self._rules.expiry_bars else None
        number = self._champion.made.number
        if heir is not None:
            self._tell(Expired(self._at(row), number, age, heir.made.number))
            self._enthrone(heir)
        elif age == self._rules.expiry_bars + 1:
            self._tell(Expired(self._at(row), number, age, None))
        return heir is None

    def _retrain(self, row: int, *, expired: bool) -> None:
        known, pending, every = row + 1, self._pending, self._rules.retrain_every_bars
        free = self._challenger is None
        replaceable = self._challenger is None or self._challenger.made.reason == "schedule"
        oldest = max(0, known - self._rules.window_bars)
        if pending and replaceable and known - pending.since >= pending.rows:
            if self._challenger:
                self._end_trial(row, self._challenger, SUPERSEDED)
            self._challenge(row, max(pending.since, oldest), "drift")
            pending.rows = int(GROWTH * (known - pending.since))
            if pending.rows > self._rules.window_bars:
                self._pending = None
        elif free and (expired or (every and known - self.models[-1].from_row >= every)):
            self._challenge(row, max(self._regime_from, oldest), "schedule")

    def _challenge(self, row: int, first: int, reason: str) -> None:
        challenger = self._make(row + 1, first, reason)
        self._challenger = challenger
        self._trials += 1
        self._trial = Trial(self._rules.trial, self._trials)
        self._tell(
            TrialBegan(
                closed_at=self._at(row),
                champion=self._champion.made.number,
                challenger=challenger.made.number,
                reason=reason,
                trained_from=challenger.made.trained_from,
                trained_until=challenger.made.trained_until,
                most_rows=self._rules.trial.rows,
                margin_nats=self._rules.trial.margin_nats,
                evidence_needed=self._trial.needed,
            )
        )

    def _end_trial(self, row: int, challenger: _Seat, outcome: str) -> None:
        trial, number = self._trial, challenger.made.number
        self._challenger = None
        facts = (str(outcome), trial.rows, trial.evidence, trial.mean_gain_nats)
        self._tell(TrialEnded(self._at(row), self._champion.made.number, number, *facts))

    def _enthrone(self, seat: _Seat) -> None:
        self._champion, self._heir, self._trials = seat, None, 0
        if self._challenger is not None:
            self._trials, self._trial = 1, Trial(self._rules.trial, 1)
        self._watch = _Watch(self._market, self._rules, seat)

    def _make(self, known_rows: int, first: int, reason: str) -> _Seat:
        """Fit on the first `known_rows` closes, from row `first` on."""
        market = self._market
        fold = fold_known(
            first,
            known_rows,
            max_horizon_bars=max(market.targets.horizons),
            validation_share=self._rules.validation_share,
        )
        made = Generation(
            number=len(self.models),
            parent=self._champion.made.number if self.models else None,
            reason=reason,
            fold=fold,
            from_row=known_rows,
            trained_from=self._at(first),
            trained_until=self._at(known_rows - 1),
            fitted=fit(market, self._forecaster, fold),
        )
        self.models.append(made)
        rival = fit(market, ScaleModel("EWMA-t", market.targets.horizons, ewma), fold)
        return _Seat(
            made,
            Shadow(market, made.fitted, known_rows, self._horizon_bars),
            Shadow(market, rival, known_rows, self._horizon_bars),
        )

    def _known_origin(self, row: int, seat: _Seat) -> int | None:
        """The row whose forecast's outcome came at this row, if the model had spoken there and it is its turn."""
        origin = row - self._horizon_bars
        turn = int(self._market.panel.grid_row[origin]) % self._horizon_bars == 0
        return origin if turn and origin >= seat.made.from_row else None

    def _age(self, row: int, seat: _Seat) -> int:
        return row + 1 - seat.made.from_row

    def _tell_aside(self, row: int, reason: str) -> None:
        if reason and not self._aside:
            self._tell(StoodDown(self._at(row), self._champion.made.number, reason))
        if self._aside and not reason:
            self._tell(Resumed(self._at(row), self._champion.made.number))
        self._aside = reason

    def _at(self, row: int) -> int:
        return int(self._market.bars.closed_at[row])

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        self._journal.append(event)


def _gain(better: Shadow, than: Shadow, origin: int) -> float:
    return mean_known(better.log_density(origin) - than.log_density(origin))
