"""How good a forecast was: one loss per row, coin and horizon, and their averages.

Every loss is NaN where nothing is scored or the forecast states nothing; smaller is better. Averages give
each instant the same weight, however many coins it has. Nothing here tests for significance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from longshort.models.forecast import Forecast, Law, Values
from longshort.study.folds import Fold, label_known

Cells = Bool[np.ndarray, "time asset horizon"]
PerCoin = Float64[np.ndarray, "time asset"]
Series = Float64[np.ndarray, " time"]

PINBALL_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
COVERAGE_LEVELS = (0.5, 0.8, 0.9, 0.95)
WINKLER_TAILS = (0.05, 0.95)  # two of the pinball levels, so that no quantile is computed for it alone
PIT_BINS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What came, on the judged rows, and the little that the training rows alone said about it.

    `outcome` is the log return over each horizon, NaN where it is not scored. `naive_error` is the mean
    absolute error of "the price stays" and `up_share` the share of rises, both over the training rows of the
    row's own fold.
    """

    outcome: Values
    naive_error: Values
    up_share: Values

    def __len__(self) -> int:
        return len(self.outcome)


def truth_of(outcome: Values, present: Cells, folds: Sequence[Fold], horizons: tuple[int, ...]) -> Truth:
    """The truth on the test rows of consecutive folds, from arrays that begin at row 0.

    Rows whose label is made of prices after the last test row are not scored: those may be sealed. A coin
    without training rows is described by all coins together.
    """
    tested = range(folds[0].test.start, folds[-1].test.stop)
    judged = np.stack([label_known(tested, horizon_bars=h, until_row=tested.stop) for h in horizons], axis=-1)
    scored = present[tested.start : tested.stop] & judged[:, None, :]
    known = np.where(present, outcome, np.nan)
    rises = np.where(known == 0.0, np.nan, np.where(np.isnan(known), np.nan, (known > 0.0).astype(float)))
    return Truth(
        outcome=np.where(scored, outcome[tested.start : tested.stop], np.nan),
        naive_error=_from_training(np.abs(known), folds),
        up_share=_from_training(rises, folds),
    )


def row_losses(forecast: Forecast, truth: Truth) -> dict[str, Values]:
    """Losses by name: `mae mse mase miss crps log_score qlike brier pinball winkler`.

    `log_score` is the negative log density in nats, `miss` is 1 where the direction was wrong, `pinball` the
    mean over `PINBALL_LEVELS`, `winkler` that of the central 90 %. A forecaster that states a location only
    (`scale` NaN) has NaN in the last six; one whose location is exactly 0 states no direction; a return of
    exactly 0 has none.
    """
    law, came = forecast.law, truth.outcome
    error = came - law.mean()
    losses = {"mae": np.abs(error), "mse": error**2, "mase": np.abs(error) / truth.naive_error}
    losses["miss"] = _miss(came, law.mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        losses["crps"] = law.crps(came)
        losses["log_score"] = -law.log_density(came)
        losses["qlike"] = qlike(came, law.variance())
        losses["brier"] = _brier(came, 1.0 - law.cdf(np.zeros_like(came)))
    return losses | _quantile_losses(law, came)


def majority_losses(truth: Truth) -> dict[str, Values]:
    """`miss` of naming the direction that was commoner in training, `brier` of naming its share there."""
    return {
        "miss": _miss(truth.outcome, truth.up_share - 0.5),
        "brier": _brier(truth.outcome, truth.up_share),
    }


def score_forecast(
    forecast: Forecast, truth: Truth, losses: Mapping[str, Values] | None = None
) -> dict[int, dict[str, float]]:
    """Mean scores by horizon: the losses, with `rmse` for `mse` and `accuracy` for `miss`.

    Losses that `row_losses` has already given are taken as they are: they are what takes time.

    Beside them stand `n` (cells scored), `n_direction` (cells with a direction) and `majority_accuracy`, what
    the commoner direction of training would have hit on the same cells.
    """
    losses = losses or row_losses(forecast, truth)
    majority = np.where(np.isnan(losses["miss"]), np.nan, majority_losses(truth)["miss"])
    return {h: _scores_at(losses, majority, at) for at, h in enumerate(forecast.horizons)}


def coverage(
    forecast: Forecast, truth: Truth, levels: Sequence[float] = COVERAGE_LEVELS
) -> dict[int, dict[float, float]]:
    """The share of outcomes inside the central interval of each level, by horizon."""
    rank = _pit(forecast, truth)
    inside = {
        p: np.where(np.isnan(rank), np.nan, (np.abs(rank - 0.5) <= p / 2).astype(float)) for p in levels
    }
    return {h: {p: mean_loss(inside[p][..., at]) for p in levels} for at, h in enumerate(forecast.horizons)}


def pit_histogram(forecast: Forecast, truth: Truth) -> dict[int, tuple[float, ...]]:
    """The share of outcomes in each twentieth of the forecast law, by horizon: level if the law is right."""
    rank = _pit(forecast, truth)
    shares: dict[int, tuple[float, ...]] = {}
    for at, horizon in enumerate(forecast.horizons):
        counts, _ = np.histogram(rank[..., at][~np.isnan(rank[..., at])], bins=PIT_BINS, range=(0.0, 1.0))
        if counts.sum():
            shares[horizon] = tuple((counts / counts.sum()).tolist())
    return shares


def qlike(outcome: Values, variance: Values) -> Values:
    """`log s2 + r2 / s2`: minimal in expectation at the true variance although r2 is a noisy proxy for it.

    This form of Patton (2011) is defined where a return is exactly 0, unlike `r2/s2 - log(r2/s2) - 1`.
    """
    return np.log(variance) + outcome**2 / variance


def pinball(outcome: Values, quantile: Values, level: float) -> Values:
    """What a quantile costs: `level` per unit above it, `1 - level` per unit below.

    >>> pinball(np.full((1, 1, 1), 3.0), np.full((1, 1, 1), 1.0), 0.9).item()
    1.8
    """
    error = outcome - quantile
    return np.maximum(level * error, (level - 1.0) * error)


def winkler(outcome: Values, low: Values, high: Values, level: float) -> Values:
    """Width of a central interval, plus `2 / (1 - level)` per unit by which the outcome falls outside."""
    outside = np.maximum(low - outcome, 0.0) + np.maximum(outcome - high, 0.0)
    return high - low + 2.0 / (1.0 - level) * outside


def per_instant(loss: PerCoin) -> Series:
    """The mean over the coins that are scored at an instant; NaN where none is.

    >>> per_instant(np.array([[1.0, 3.0], [5.0, np.nan], [np.nan, np.nan]])).tolist()
    [2.0, 5.0, nan]
    """
    scored = ~np.isnan(loss)
    count = scored.sum(axis=1)
    total = np.where(scored, loss, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def mean_loss(loss: PerCoin) -> float:
    """The mean over instants of the mean over coins; NaN where nothing is scored."""
    series = per_instant(loss)
    scored = series[~np.isnan(series)]
    return float(scored.mean()) if len(scored) else float("nan")


def _scores_at(losses: Mapping[str, Values], majority: Values, at: int) -> dict[str, float]:
    scores = {name: mean_loss(loss[..., at]) for name, loss in losses.items()}
    scores["rmse"] = float(np.sqrt(scores.pop("mse")))
    scores["accuracy"] = 1.0 - scores.pop("miss")
    scores["majority_accuracy"] = 1.0 - mean_loss(majority[..., at])
    scores["n"] = float(np.count_nonzero(~np.isnan(losses["mae"][..., at])))
    scores["n_direction"] = float(np.count_nonzero(~np.isnan(losses["miss"][..., at])))
    return scores


def _miss(outcome: Values, lean: Values) -> Values:
    stated = ~np.isnan(outcome) & ~np.isnan(lean) & (outcome != 0.0) & (lean != 0.0)
    return np.where(stated, (outcome > 0.0) != (lean > 0.0), np.nan)


def _brier(outcome: Values, p_up: Values) -> Values:
    directed = ~np.isnan(outcome) & (outcome != 0.0)
    return np.where(directed, (p_up - (outcome > 0.0)) ** 2, np.nan)


def _quantile_losses(law: Law, came: Values) -> dict[str, Values]:
    low, high = WINKLER_TAILS
    quantiles = {p: law.quantile(p) for p in PINBALL_LEVELS}
    costs = [pinball(came, quantiles[p], p) for p in PINBALL_LEVELS]
    return {
        "pinball": np.mean(costs, axis=0),
        "winkler": winkler(came, quantiles[low], quantiles[high], high - low),
    }


def _pit(forecast: Forecast, truth: Truth) -> Values:
    return forecast.law.cdf(truth.outcome)


def _from_training(value: Values, folds: Sequence[Fold]) -> Float64[np.ndarray, "tested asset horizon"]:
    blocks: list[Values] = []
    for fold in folds:
        train = value[fold.train.start : fold.train.stop]
        own, pooled = _mean(train, (0,)), _mean(train, (0, 1))
        known = np.where(np.isnan(own), pooled, own)
        blocks.append(np.broadcast_to(known, (len(fold.test), *known.shape[1:])))
    return np.concatenate(blocks)


def _mean(value: Values, axis: tuple[int, ...]) -> Float64[np.ndarray, "_ _ horizon"]:
    known = ~np.isnan(value)
    count = known.sum(axis=axis, keepdims=True)
    total = np.where(known, value, 0.0).sum(axis=axis, keepdims=True)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
