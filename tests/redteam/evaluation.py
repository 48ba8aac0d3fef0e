"""Leaks in how something is fitted, split, scored and booked."""

from collections.abc import Callable
from functools import partial

import numpy as np

from longshort.base.clock import HOUR
from longshort.base.stage import Arrays
from longshort.study.audit.record import Account, Fit, Pipeline, Scoring, Skill, Split, Told
from longshort.study.audit.timeline import ArrayTimeline, Table
from longshort.study.significance import mean_above_zero

from .harness import BEYOND, ROWS, SILENT, Build, Leak, market

TRAIN, TEST = 160, 200  # rows before the test, and where it ends
SHUFFLED_ROWS, GROUPS = 4_000, 800
HORIZON = 4


def _sound(seed: int) -> Table:
    """A market without gaps."""
    return market(seed, ROWS, gaps=0)


def _pairs(history: Table) -> tuple[np.ndarray, np.ndarray]:
    """The last three returns at each row, and the next one."""
    returns = np.diff(np.log(np.maximum(np.nan_to_num(history["close"], nan=1.0), 1e-9)))
    rows = np.arange(2, len(returns) - 1)
    inputs = np.stack([returns[rows], returns[rows - 1], returns[rows - 2]], axis=1)
    return inputs * 100.0, returns[rows + 1] * 100.0


def _stopped(history: Table, *, judged: slice, learned: slice) -> Arrays:
    """Gradient steps on the rows that are learned from, stopped where the judged rows are forecast best."""
    inputs, targets = _pairs(history)
    weights, best, least, at = np.zeros(3), np.zeros(3), np.inf, 0
    for step in range(40):
        error = inputs[learned] @ weights - targets[learned]
        weights = weights - 0.05 * inputs[learned].T @ error / len(error)
        loss = float(np.mean((inputs[judged] @ weights - targets[judged]) ** 2))
        if loss < least:
            best, least, at = weights, loss, step
    return {"weights": best, "stopped_at": np.array([at]), "least_loss": np.array([least])}


def _calibrated(history: Table, *, rows: slice) -> Arrays:
    """How much wider the law must be than the volatility that was forecast."""
    inputs, targets = _pairs(history)
    return {"width": np.array([np.std(targets[rows]) / np.std(inputs[: TRAIN - 5])])}


def _scaler(history: Table, *, rows: slice) -> Arrays:
    inputs = _pairs(history)[0][rows]
    return {"mean": inputs.mean(axis=0), "std": inputs.std(axis=0)}


def _chosen_lag(history: Table, *, rows: slice) -> Arrays:
    """The lag that goes best with the target, tuned on the rows that are given."""
    inputs, targets = _pairs(history)
    found = [float(np.dot(inputs[rows, k], targets[rows])) for k in range(3)]
    return {"lag": np.array([int(np.argmax(np.abs(found)))]), "gain": np.array([max(np.abs(found))])}


def _fitted(name: str, learn: Callable[[Table], Arrays]) -> Build:
    def build(seed: int) -> Pipeline:
        history = _sound(seed)
        fit = Fit(name=name, test_from_at=int(history.at[TRAIN]), learn=learn)
        return Pipeline(history=history, timeline=ArrayTimeline(), fits=(fit,), title=name)

    return build


def _split(name: str, choose: Callable[[np.random.Generator], np.ndarray], horizon: int) -> Build:
    def build(seed: int) -> Pipeline:
        history = _sound(seed)
        rows = np.sort(choose(np.random.default_rng(seed)))
        split = Split(
            name=name,
            closed_at=history.at[rows],
            label_known_at=history.at[rows] + horizon * HOUR,
            test_closed_at=int(history.at[TRAIN]),
        )
        return Pipeline(history=history, timeline=ArrayTimeline(), splits=(split,), title=name)

    return build


def _scored(name: str, *, drop_last: bool) -> Build:
    def build(seed: int) -> Pipeline:
        losses = np.random.default_rng(seed).exponential(size=ROWS + 1)

        def score(size: int) -> dict[str, float | int]:
            stop = len(losses) // size * size if drop_last and size < len(losses) else len(losses)
            kept = losses[:stop]
            return {"loss": float(kept.mean()), "rows": len(kept)}

        scoring = Scoring(name=name, score=score)
        return Pipeline(history=_sound(seed), timeline=ArrayTimeline(), scorings=(scoring,), title=name)

    return build


def _open_to_close(history: Table, exposure: np.ndarray, *, lag: int) -> np.ndarray:
    """The wish of `lag` rows before, from the open to the close of each bar."""
    wish = np.concatenate([np.zeros(lag), exposure[: len(exposure) - lag, 0]])
    return np.nan_to_num(wish * (np.log(history["close"]) - np.log(history["open"])))


def _with_funding(history: Table, exposure: np.ndarray, *, early: int) -> np.ndarray:
    """The wish of the row before pays the funding that is settled in the bar."""
    paid = np.nan_to_num(np.append(history["funding"][early:], np.zeros(early)))
    return _open_to_close(history, exposure, lag=1) - np.append(0.0, exposure[:-1, 0]) * paid


def _held_to_end(history: Table, exposure: np.ndarray, *, after: int) -> np.ndarray:
    """Profit of a wish, booked `after` rows of the row whose close it was made with."""
    change = np.append(np.nan_to_num(np.diff(np.log(history["close"]))), 0.0)  # from each close to the next
    earned = exposure[:, 0] * change
    return earned if not after else np.append(np.zeros(after), earned[:-after])


def _booked(name: str, profit: Callable[[Table, np.ndarray], np.ndarray], *, known_rows: int) -> Build:
    def build(seed: int) -> Pipeline:
        history = _sound(seed)
        rng = np.random.default_rng(seed)
        account = Account(
            name=name,
            decided_at=history.at[:-1],
            known_at=history.at[:-1] + known_rows * HOUR,
            profit=profit,
            exposure=rng.choice([-1.0, 1.0], size=(ROWS, 1)),
        )
        return Pipeline(history=history, timeline=ArrayTimeline(), accounts=(account,), title=name)

    return build


def _encoded(name: str, *, stop: int) -> Build:
    """A model that forecasts the mean target of a row's group, learned from the rows up to `stop`."""

    def refit(seed: int, rng: np.random.Generator) -> Skill:
        target = np.random.default_rng([seed, 3]).normal(size=SHUFFLED_ROWS).reshape(-1, 10)
        shuffled = rng.permutation(target).ravel()
        group = np.random.default_rng([seed, 4]).integers(0, GROUPS, SHUFFLED_ROWS)
        total = np.bincount(group[:stop], weights=shuffled[:stop], minlength=GROUPS)
        mean = total / np.maximum(np.bincount(group[:stop], minlength=GROUPS), 1)
        tested = slice(SHUFFLED_ROWS // 2, None)
        gain = shuffled[tested] ** 2 - (shuffled[tested] - mean[group[tested]]) ** 2
        return Skill(gain=gain, p_value=mean_above_zero(gain, lags=26).p_value)

    def build(seed: int) -> Pipeline:
        return Pipeline(
            history=_sound(seed), timeline=ArrayTimeline(), shuffled=partial(refit, seed), title=name
        )

    return build


def _told(name: str, *, edge: float, echo: float) -> Build:
    def build(seed: int) -> Pipeline:
        returns = np.random.default_rng([seed, 9]).normal(0.0, 0.01, (2_000, 1))
        forecast = edge * returns + echo * np.concatenate([[[0.0]], returns[:-1]])
        told = Told(name=name, forecast=forecast, actual=returns)
        return Pipeline(history=_sound(seed), timeline=ArrayTimeline(), forecasts=(told,), title=name)

    return build


_BEFORE, _TEST = slice(0, TRAIN - 5), slice(TRAIN, TEST)
_LEARNED, _VALIDATED = slice(0, 30), slice(TRAIN - 40, TRAIN - 5)


def _fit_leak(name: str, leaky: Callable[[Table], Arrays], honest: Callable[[Table], Arrays]) -> Leak:
    return Leak(
        name=name,
        check="fit isolation",
        leaky=_fitted(name, leaky),
        honest=_fitted(name, honest),
        freqtrade=BEYOND,
    )


def _account_leak(name: str, leaky: Build, honest: Build) -> Leak:
    return Leak(name=name, check="execution", leaky=leaky, honest=honest, freqtrade=BEYOND)


LEAKS = (
    _fit_leak(
        "early stopping on test rows",
        partial(_stopped, learned=_LEARNED, judged=_TEST),
        partial(_stopped, learned=_LEARNED, judged=_VALIDATED),
    ),
    _fit_leak(
        "calibrator fitted on test", partial(_calibrated, rows=_TEST), partial(_calibrated, rows=_VALIDATED)
    ),
    _fit_leak(
        "scaler fitted on one test row",
        partial(_scaler, rows=slice(0, TRAIN - 1)),
        partial(_scaler, rows=_BEFORE),
    ),
    _fit_leak("lag tuned on test", partial(_chosen_lag, rows=_TEST), partial(_chosen_lag, rows=_VALIDATED)),
    Leak(
        name="shuffled split",
        check="split",
        leaky=_split("shuffled split", lambda rng: rng.choice(ROWS - 1, TRAIN, replace=False), 1),
        honest=_split("split in time", lambda rng: rng.permutation(TRAIN), 1),
        freqtrade=BEYOND,
    ),
    Leak(
        name="overlapping labels without a gap",
        check="split",
        leaky=_split("no gap", lambda rng: np.arange(TRAIN), HORIZON),
        honest=_split("gap of the horizon", lambda rng: np.arange(TRAIN - HORIZON + 1), HORIZON),
        freqtrade=BEYOND,
    ),
    Leak(
        name="gap one bar too short",
        check="split",
        leaky=_split("short gap", lambda rng: np.arange(TRAIN - HORIZON + 2), HORIZON),
        honest=_split("whole gap", lambda rng: np.arange(TRAIN - HORIZON + 1), HORIZON),
        freqtrade=BEYOND,
    ),
    Leak(
        name="`drop_last`",
        check="batch size",
        leaky=_scored("drop_last", drop_last=True),
        honest=_scored("every row", drop_last=False),
        freqtrade=BEYOND,
    ),
    _account_leak(
        "same-bar fill at the close that decided",
        _booked("same bar", partial(_open_to_close, lag=1), known_rows=0),
        _booked("next bar", partial(_open_to_close, lag=1), known_rows=1),
    ),
    _account_leak(
        "bar that triggered a decision earns for it",
        _booked("own bar", partial(_open_to_close, lag=0), known_rows=1),
        _booked("bar after", partial(_open_to_close, lag=1), known_rows=1),
    ),
    _account_leak(
        "profit booked a bar before it is earned",
        _booked("booked early", partial(_held_to_end, after=0), known_rows=1),
        _booked("booked when earned", partial(_held_to_end, after=1), known_rows=1),
    ),
    _account_leak(
        "profit with funding known early",
        _booked("next funding", partial(_with_funding, early=1), known_rows=1),
        _booked("own funding", partial(_with_funding, early=0), known_rows=1),
    ),
    Leak(
        name="target encoding over all rows",
        check="shuffled target",
        leaky=_encoded("encoded on all rows", stop=SHUFFLED_ROWS),
        honest=_encoded("encoded on training rows", stop=SHUFFLED_ROWS // 2),
        freqtrade=BEYOND,
        thorough=True,
    ),
    Leak(
        name="last value offered as a forecast",
        check="persistence",
        leaky=_told("echo", edge=0.0, echo=0.9),
        honest=_told("edge", edge=0.05, echo=0.0),
        freqtrade=SILENT,
        outcome="warning",
    ),
)
