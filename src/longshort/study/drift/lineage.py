"""The rules of an adaptive loop and what came of it: models, who was in charge of each row, and every change."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int64

from longshort.base.journal import Event
from longshort.models.forecast import Forecast
from longshort.study.drift.champion import Outcome, TrialRules
from longshort.study.drift.events import TrialEnded
from longshort.study.drift.shadow import Generation
from longshort.study.drift.standdown import StandDownRules
from longshort.study.market import Market


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When to retrain on what, who is promoted, when a model is too old, and when it stands aside.

    `horizon_bars` is the horizon that is judged (0: the shortest). A scheduled challenger learns from the last
    `window_bars`; one that a drift called for from the rows since, as soon as there are `fresh_bars` of them, and again
    whenever they are 40 % more. Inputs that move are told, but by default call for nobody: a model may stand that.
    """

    horizon_bars: int = 0
    retrain_every_bars: int = 720
    window_bars: int = 4_000
    fresh_bars: int = 288
    validation_share: float = 0.15
    retrain_on: tuple[str, ...] = ("residuals", "coverage", "skill")
    expiry_bars: int = 4_320
    trial: TrialRules = field(default_factory=TrialRules)
    stand_down: StandDownRules = field(default_factory=StandDownRules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What came of it: every model that was made, who was in charge of each row, and whether it might add exposure.

    `champion` holds numbers of `models`; `adding` is False where the model stood aside.
    """

    rows: range
    models: tuple[Generation, ...] = field(repr=False)
    champion: Int64[np.ndarray, " time"]
    adding: Bool[np.ndarray, " time"]
    events: tuple[Event, ...] = field(repr=False)

    @property
    def promotions(self) -> int:
        """How often a challenger took over by test."""
        return sum(isinstance(e, TrialEnded) and e.outcome == Outcome.PROMOTED for e in self.events)

    def forecast(self, market: Market) -> Forecast:
        """What whoever was in charge said of each row."""
        edges = [0, *(np.flatnonzero(np.diff(self.champion)) + 1).tolist(), len(self.champion)]
        first = self.rows.start
        parts = [
            self.models[int(self.champion[a])].fitted.predict(market.panel, range(first + a, first + b))
            for a, b in pairwise(edges)
        ]
        return parts[0].join(*parts[1:])
