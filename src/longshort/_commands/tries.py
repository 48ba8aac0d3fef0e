"""What is written down of each look at a stretch of data: an evaluation, another division of it, an opened seal."""

from dataclasses import replace

from longshort.base.clock import SystemClock
from longshort.base.settings import Study
from longshort.data.market import find_lake
from longshort.study.market import Market
from longshort.study.run import tried_digest
from longshort.study.trials import Stretch, Trial, TrialLog, Tried

MADE_BY = (
    "embedded_seed",
    "embedded_coins",
    "embedded_edge",
    "embedded_season",
    "embedded_missing",
    "embedded_law",
)  # what makes one embedded market another


def trial_of(stretch: Stretch, study: Study, made: Tried | None = None) -> Trial:
    """A look at a stretch, with what the policy earned a day where there was an account."""
    blank = Trial(stretch=stretch, settings=tried_digest(study), recorded_at=SystemClock().now())
    return blank if made is None else replace(blank, days=made.days, returns=made.returns)


def trials_of(market: Market) -> tuple[TrialLog, Stretch, Stretch | None]:
    """The log of this study's lake, its development stretch, and the sealed one if there is one."""
    study, closes, rows = market.study, market.bars.closed_at, market.development_rows
    embedded = study.data.source == "embedded"
    folder = study.folder / "runs" if embedded else find_lake(study.data.lake, study.folder)
    horizons = "/".join(str(h) for h in study.target.horizons)
    target = f"{market.bars.venue} {market.bars.interval} {horizons}"
    if embedded:
        made = study.data.model_dump(include=set(MADE_BY))
        target += f" {' '.join(str(made[key]) for key in MADE_BY)}"
    development = Stretch(target=target, first_at=int(closes[0]), last_at=int(closes[rows - 1]))
    sealed = (
        Stretch(target=target, first_at=int(closes[rows]), last_at=int(closes[-1]))
        if rows < len(closes)
        else None
    )
    return TrialLog(folder / "trials.sqlite"), development, sealed
