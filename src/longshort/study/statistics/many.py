"""All forecasters at once: is any of the rivals better, which are, and which of all may be the best.

Thin wrappers over `arch`: the stationary bootstrap draws stretches of the test span anew, the same ones for every
forecaster, so that neither their likeness nor the clustering of losses is mistaken for evidence. Losses are one
row per instant, one column per forecaster; a row in which anybody is not scored is left out for all.
"""

import warnings
from dataclasses import dataclass
from importlib import import_module
from math import ceil
from typing import Any

import numpy as np
from jaxtyping import Float64

from longshort.base.errors import MissingExtra
from longshort.study.significance import long_run_variance

Series = Float64[np.ndarray, " time"]
Losses = Float64[np.ndarray, "time model"]
Summed = Float64[np.ndarray, "stretch model"]

LEVEL = 0.05  # of the family-wise error, in `against`
CONFIDENCE_LEVEL = 0.10  # with which Hansen, Lunde and Nason's set may miss the best
MOST_ROWS = 1_200  # longer losses are summed over stretches first: dependence is kept, minutes are saved
LEAST_ROWS = 50  # scored instants, below which nothing is drawn anew
SEED = 20_261_121
HOPELESS = 1e6  # standard errors by which a rival that never wins is worse


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """How the bootstrap draws: `block_bars` is the mean length of what is drawn in one piece; None: `block_of`."""

    reps: int = 1_000
    seed: int = SEED
    block_bars: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Superiority:
    """Hansen's test of "no rival is better than the model", and Romano and Wolf's list of those that are.

    `p_value` is the consistent one; `p_lower` and `p_upper` bound it. `better` are columns. Where nothing could be
    tested `reason` says why, and the p-values are 1.
    """

    p_value: float
    p_lower: float
    p_upper: float
    better: tuple[int, ...]
    n: int
    block_bars: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceSet:
    """Hansen, Lunde and Nason's set, which holds the best with confidence: the p-value of each column."""

    p_values: tuple[float, ...]
    n: int
    block_bars: float
    level: float = CONFIDENCE_LEVEL
    reason: str = ""

    @property
    def included(self) -> tuple[bool, ...]:
        """Which columns may be the best; none where nothing could be tested."""
        return tuple(not self.reason and p > self.level for p in self.p_values)


def against(model: Series, rivals: Losses, *, draws: Draws = Draws()) -> Superiority:
    """Whether any rival has a smaller mean loss than the model, all of them counted.

    Gains are divided by their long-run standard deviation first: that is Hansen's studentized statistic, which `arch`
    leaves to its caller. Where no rival is better on average the statistic is Hansen's least, 0, and p is 1.

    Hansen (2005), Journal of Business & Economic Statistics 23, 365-380; Romano and Wolf (2005), Econometrica 73,
    1237-1282.
    """
    arch = _arch()
    every = _scored(np.column_stack([model, rivals]))
    gain = every[:, :1] - every[:, 1:]
    alive = np.flatnonzero(np.ptp(gain, axis=0) > 0.0) if len(gain) else np.zeros(0, dtype=np.int64)
    if len(every) < LEAST_ROWS or not len(alive):
        reason = (
            f"{len(every):,} instants are scored for all" if len(every) < LEAST_ROWS else "no rival differs"
        )
        return Superiority(
            p_value=1.0, p_lower=1.0, p_upper=1.0, better=(), n=len(every), block_bars=0.0, reason=reason
        )
    summed, stretch = stretches(gain[:, alive])
    block = draws.block_bars / stretch if draws.block_bars else block_of(summed)
    spread = [np.sqrt(long_run_variance(column, lags=ceil(2 * block) - 1)) for column in summed.T]
    told = summed / np.maximum(spread, np.finfo(np.float64).tiny)
    told = np.column_stack([told, np.full(len(told), -HOPELESS)])  # StepM of arch 8 fails once nobody is left
    test = arch.StepM(
        np.zeros(len(told)), -told, size=LEVEL, block_size=block, reps=draws.reps, seed=draws.seed
    )
    test.compute()
    better = tuple(int(alive[k]) for k in test.superior_models if k < len(alive))
    test.spa.compute()
    ahead = bool((summed.mean(axis=0) > 0.0).any())
    lower, consistent, upper = (float(p) if ahead else 1.0 for p in test.spa.pvalues)
    return Superiority(
        p_value=consistent,
        p_lower=lower,
        p_upper=upper,
        better=better,
        n=len(every),
        block_bars=block * stretch,
    )


def confidence_set(
    losses: Losses, *, draws: Draws = Draws(), level: float = CONFIDENCE_LEVEL
) -> ConfidenceSet:
    """Which forecasters may be the best: those that are not proved worse than another, all of them counted.

    The range statistic; forecasters with the very same losses share one place and one p-value.
    Hansen, Lunde and Nason (2011), Econometrica 79, 453-497.
    """
    arch = _arch()
    scored = _scored(losses)
    if len(scored) < LEAST_ROWS:
        reason = f"{len(scored):,} instants are scored for all"
        return _nobody(losses, len(scored), level, reason)
    unique, home = np.unique(scored, axis=1, return_inverse=True)
    if unique.shape[1] < 2:
        return _nobody(losses, len(scored), level, "all losses are the same")
    summed, stretch = stretches(unique)
    block = (
        draws.block_bars / stretch if draws.block_bars else block_of(summed - summed.mean(axis=1)[:, None])
    )
    test = arch.MCS(summed, size=level, reps=draws.reps, block_size=block, seed=draws.seed)
    test.compute()
    p_values = test.pvalues["Pvalue"].sort_index().to_numpy()
    return ConfidenceSet(
        p_values=tuple(p_values[home.ravel()].tolist()),
        n=len(scored),
        block_bars=block * stretch,
        level=level,
    )


def stretches(losses: Losses, *, most: int = MOST_ROWS) -> tuple[Summed, float]:
    """Sums over equally long stretches, scaled so that means stay what they were; and how many rows one holds.

    >>> summed, rows = stretches(np.arange(10.0)[:, None], most=5)
    >>> summed.ravel().tolist(), rows
    ([0.5, 2.5, 4.5, 6.5, 8.5], 2.0)
    """
    rows = len(losses)
    count = ceil(rows / ceil(rows / most))
    edges = np.arange(count) * rows // count
    return np.add.reduceat(losses, edges, axis=0) * (count / rows), rows / count


def block_of(differences: Losses) -> float:
    """The mean block length, in rows: the largest that Politis and White's rule finds for any column.

    Politis and White (2004), Econometric Reviews 23, 53-70, as corrected by Patton, Politis and White (2009),
    Econometric Reviews 28, 372-375.
    """
    varied = differences[:, np.ptp(differences, axis=0) > 0.0]
    if not varied.shape[1]:
        return 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        found = _arch().optimal_block_length(varied)["stationary"].to_numpy()
    longest = float(np.nanmax(found, initial=1.0))
    return min(max(longest, 1.0), len(differences) / 3)


def _arch() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module("arch.bootstrap")
    except ModuleNotFoundError as error:
        raise MissingExtra("arch", "baselines") from error


def _scored(losses: Losses) -> Float64[np.ndarray, "_ model"]:
    return losses[np.isfinite(losses).all(axis=1)]


def _nobody(losses: Losses, n: int, level: float, reason: str) -> ConfidenceSet:
    p_values = (1.0,) * losses.shape[1]
    return ConfidenceSet(p_values=p_values, n=n, block_bars=0.0, level=level, reason=reason)
