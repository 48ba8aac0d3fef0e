"""Everything that an evaluation computed, for those who look closer."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from longshort.features.panel import Panel
from longshort.models.forecast import Forecast, Values
from longshort.study.market import Market
from longshort.study.metrics import Truth
from longshort.study.money import Money
from longshort.study.report import Comparison, Verdict
from longshort.study.trials import Tried
from longshort.study.walk import Walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A judged walk: forecasts and losses by forecaster on the tested rows, accounts, comparisons, words.

    `losses[name][metric]` is what `row_losses` gives: (time asset horizon), NaN where a forecaster says nothing.
    `tried` are the evaluations recorded on this stretch of data, this one included.
    """

    market: Market
    walk: Walk
    truth: Truth
    losses: Mapping[str, Mapping[str, Values]] = field(repr=False)
    money: Money
    model: str
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]
    tried: tuple[Tried, ...] = ()

    @property
    def panel(self) -> Panel:
        """The panel's tested rows."""
        rows = self.walk.tested
        return self.market.panel[rows.start : rows.stop]

    @property
    def forecast(self) -> Forecast:
        """The judged model's forecast of the tested rows."""
        return self.walk.forecasts[self.model]
