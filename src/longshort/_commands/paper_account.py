"""A study's paper account: begun with the model and the contracts of today, or gone on with as it was begun."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from longshort._commands.paper_desk import paper_folder
from longshort._commands.watch import KEPT_CONTEXTS, Watch, steering_of
from longshort.base.errors import DataError
from longshort.base.journal import Journal
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.models.forecast import Forecast
from longshort.policy.exposure import Wishes
from longshort.policy.steering import Steering
from longshort.study.following import Following, Trained
from longshort.trading.paper.account import PaperAccount
from longshort.trading.paper.diary import Diary, Line
from longshort.trading.paper.rows import instrument_of, load_bars, save_bars
from longshort.trading.paper.terms import Terms

WARM = "warmup.npz"
LEAST_KEPT_ROWS = 1_024


class FollowedMind:
    """The study's model, as a paper account asks it; `steer` makes what decides, holding nothing."""

    def __init__(self, trained: Trained, steer: Callable[[], Steering], bars: Bars) -> None:
        self._trained, self._steer = trained, steer
        self._following = Following(trained, steer(), bars)
        self.forecast: Forecast | None = None

    def state(self) -> Mapping[str, np.ndarray] | None:
        """What it goes on from, with the last bars."""
        return self._following.state()

    def restore(self, state: Mapping[str, np.ndarray], bars: Bars) -> None:
        """Stand where another one was after some bars."""
        steering = self._steer()
        steering.restore(_below("steering/", state))
        trained = replace(self._trained, memory=_below("features/", state))
        self._following = Following(trained, steering, bars)

    def step(self, row: Bars, past: Bars | None) -> Wishes:
        """The wishes at one more closed row; `forecast` is what they rest on."""
        self.forecast, wishes = self._following.step(row, past)
        return wishes


def open_account(study: Study, watch: Watch, diary: Diary, heard: Journal) -> PaperAccount:
    """The account of a study whose lake and model are at hand; raise `DataError` where it was begun with others.

    The bars since the model's memory ends are kept beside the journal: the lake may be corrected meanwhile.
    """
    trained, bars = watch.trained, watch.bars
    begun, path = next(diary.lines(), None), paper_folder(study) / WARM
    pattern = replace(bars[-1:], origins=(), changes=())
    if begun is None:
        since = int(trained.memory["last_closed_at"][0]) if trained.memory else -1
        save_bars(path, bars[len(bars.until(since)) :])
    else:
        pattern = _with_coins(pattern, begun, diary.path)
    warm = load_bars(path, pattern)
    terms = Terms(
        name=f"{study.digest()} {trained.name}",
        pattern=pattern,
        costs=study.costs.record,
        account=study.trading.account,
        starting_balance=study.trading.starting_balance,
        limits=study.limits,
        kept_rows=max(LEAST_KEPT_ROWS, 2 * KEPT_CONTEXTS * trained.context_rows),
    )
    mind = FollowedMind(trained, partial(steering_of, study, warm), warm)
    return PaperAccount(terms, mind, warm, diary, heard)


def _below(prefix: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): part for name, part in state.items() if name.startswith(prefix)}


def _with_coins(pattern: Bars, begun: Line, path: Path) -> Bars:
    """The pattern with the contracts that the account was begun with."""
    try:
        coins = tuple(instrument_of(line) for line in begun["coins"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("the first line is damaged.", where=path) from error
    if tuple(coin.symbol for coin in coins) != pattern.symbols:
        raise DataError(
            f"this account trades {', '.join(c.symbol for c in coins)}, the study {', '.join(pattern.symbols)}.",
            where=path,
            remedy="Go on with the same coins, or move the folder away to begin anew.",
        )
    return replace(pattern, instruments=coins)
