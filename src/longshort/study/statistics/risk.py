"""Were the worst cases as bad and as frequent as forecast: back-tests of value at risk and expected shortfall.

A forecast loss threshold is exceeded at its rate, not in runs, and by as much as forecast. Losses are positive here and
so are `var` and `es`; a short position's loss is the return itself. Tests take one series of non-overlapping
rows: coins that move together are not more evidence, so test each, or the mean over coins (`shortfall_gains`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from scipy import special

from longshort.models.forecast import Law, StudentT, Values
from longshort.study.metrics import mean_loss

PerCoin = Float64[np.ndarray, "time asset"]
Series = Float64[np.ndarray, " time"]
Exceeded = Bool[np.ndarray, " time"]
Sample = Float64[np.ndarray, " draw"]
Parts = Float64[np.ndarray, " part"]
Tails = Float64[np.ndarray, "time asset horizon point"]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)  # where a law without a closed form is read
_ROOTS = 0.5 * (_NODES + 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceedances:
    """How often a threshold was exceeded: likelihood ratios and p-values of Kupiec and of Christoffersen.

    `coverage` (Kupiec 1995) asks whether the rate is right, `independence` (Christoffersen 1998) whether one
    exceedance makes the next more likely, `both` is their sum: chi-squared with 1, 1 and 2 degrees of freedom.
    """

    n: int
    exceeded: int
    coverage: float
    coverage_p: float
    independence: float
    independence_p: float
    both: float
    both_p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """The statistics of Acerbi and Szekely (2014): 0 in expectation, negative where risk is understated.

    `z1` asks how bad exceedances were, `z2` how bad and how frequent; p-values are one-sided, simulated under the
    forecast law. `z1` is NaN where nothing was exceeded.
    """

    z1: float
    z1_p: float
    z2: float
    z2_p: float
    n: int
    exceeded: int


def exceedance_tests(exceeded: Exceeded, rate: float) -> Exceedances:
    """Kupiec's and Christoffersen's tests of one series, in time order.

    The independence test conditions on the first observation; the p-values are asymptotic and rough where fewer than
    about five exceedances were expected.

    >>> round(exceedance_tests(np.arange(100) < 4, 0.01).coverage, 3)
    5.182
    """
    n, x = len(exceeded), int(exceeded.sum())
    coverage = 2.0 * (_log_likelihood(n - x, x, x / max(n, 1)) - _log_likelihood(n - x, x, rate))
    before, now = exceeded[:-1], exceeded[1:]
    n00, n01 = int((~before & ~now).sum()), int((~before & now).sum())
    n10, n11 = int((before & ~now).sum()), int((before & now).sum())
    apart = _log_likelihood(n00, n01, n01 / max(n00 + n01, 1)) + _log_likelihood(
        n10, n11, n11 / max(n10 + n11, 1)
    )
    together = _log_likelihood(n00 + n10, n01 + n11, (n01 + n11) / max(n - 1, 1))
    independence = 2.0 * (apart - together)
    both = coverage + independence
    return Exceedances(
        n=n,
        exceeded=x,
        coverage=coverage,
        coverage_p=_chi_squared(coverage, 1),
        independence=independence,
        independence_p=_chi_squared(independence, 1),
        both=both,
        both_p=_chi_squared(both, 2),
    )


def shortfall_statistics(loss: Series, var: Series, es: Series, rate: float) -> tuple[float, float]:
    """Z1 and Z2 of Acerbi and Szekely (2014), "Backtesting expected shortfall", Risk, equations 4 and 6.

    >>> shortfall_statistics(np.array([1.0, 4.0]), np.array([2.0, 2.0]), np.array([3.2, 3.2]), 0.5)
    (-0.25, -0.25)
    """
    beyond = loss > var
    total = float((loss[beyond] / es[beyond]).sum())
    count = int(beyond.sum())
    return (1.0 - total / count if count else float("nan")), 1.0 - total / (len(loss) * rate)


def shortfall_gains(loss: PerCoin, var: PerCoin, es: PerCoin, rate: float) -> tuple[PerCoin, PerCoin]:
    """Per row, what averages to Z1 and to Z2: for a test on means over coins.

    Z1 is a ratio, of the excess of exceedances to their number; its rows are that ratio's linear terms, so that an
    instant at which all coins crash counts as many exceedances.
    """
    known = np.isfinite(loss) & np.isfinite(var) & np.isfinite(es)
    beyond = np.where(known, loss > var, np.nan)
    ratio = np.where(known & (loss > var), loss / es, 0.0)
    share = mean_loss(beyond)
    if not share > 0.0:
        return np.full(loss.shape, np.nan), np.where(known, 1.0 - ratio / rate, np.nan)
    excess = beyond - np.where(known, ratio, np.nan)
    z1 = mean_loss(excess) / share
    return z1 + (excess - z1 * beyond) / share, np.where(known, 1.0 - ratio / rate, np.nan)


def shortfall_test(
    loss: Series, var: Series, es: Series, rate: float, *, null: tuple[Sample, Sample]
) -> Shortfall:
    """Both statistics with one-sided p-values: their ranks among draws of `shortfall_null` for so many rows.

    For Student-t tails Acerbi and Szekely print 5 % critical values of Z2 near -0.7 for 250 rows at 2.5 %, whatever
    the degrees of freedom.
    """
    z1, z2 = shortfall_statistics(loss, var, es, rate)
    return Shortfall(
        z1=z1,
        z1_p=_rank_p(null[0], z1),
        z2=z2,
        z2_p=_rank_p(null[1], z2),
        n=len(loss),
        exceeded=int((loss > var).sum()),
    )


def shortfall_null(
    n: int, rate: float, *, ratios: Parts, rng: np.random.Generator, draws: int = 2_000
) -> tuple[Sample, Sample]:
    """Draws of Z1 and Z2 if the forecast is right: a binomial number of exceedances, each with a tail ratio.

    `ratios` are losses over expected shortfall given an exceedance, under the forecast laws (`tail_ratios`); rows are
    independent.
    """
    counts = rng.binomial(n, rate, size=draws)
    drawn = np.append(0.0, np.cumsum(rng.choice(ratios, size=int(counts.sum()))))
    ends = np.cumsum(counts)
    totals = drawn[ends] - drawn[ends - counts]
    z1 = np.where(counts > 0, 1.0 - totals / np.maximum(counts, 1), np.nan)
    return z1, 1.0 - totals / (n * rate)


def value_at_risk(law: Law, rate: float, *, short: bool) -> Values:
    """The loss that a long or short position of 1 exceeds with probability `rate`, in log returns."""
    return law.quantile(1.0 - rate) if short else -law.quantile(rate)


def expected_shortfall(law: Law, var: Values, rate: float, *, short: bool) -> Values:
    """The mean loss where the value at risk `var` is exceeded: in closed form for Student-t, else by quantiles.

    Their levels crowd where the tail is thin (Gauss-Legendre in the cube root of the level).

    >>> one = np.ones((1, 1, 1))
    >>> law = StudentT(loc=0.0 * one, scale=one, df=4.0 * one)
    >>> round(expected_shortfall(law, value_at_risk(law, 0.05, short=False), 0.05, short=False).item(), 4)
    3.2029
    """
    if isinstance(law, StudentT):
        drift = law.loc if short else -law.loc
        q = (var - drift) / law.scale
        norm = (
            special.gammaln(0.5 * (law.df + 1.0))
            - special.gammaln(0.5 * law.df)
            - 0.5 * np.log(law.df * np.pi)
        )
        density = np.exp(norm - 0.5 * (law.df + 1.0) * np.log1p(q * q / law.df))
        return drift + law.scale * density / rate * (law.df + q * q) / (law.df - 1.0)
    total = np.zeros_like(var)
    for root, weight in zip(_ROOTS, 1.5 * _WEIGHTS * _ROOTS**2, strict=True):
        total += weight * value_at_risk(law, rate * float(root) ** 3, short=short)
    return total


def tail_ratios(law: Law, rate: float, *, short: bool, points: int = 40) -> Tails:
    """Losses beyond the value at risk over the expected shortfall, at equally likely parts of a law's tail.

    Each part is read in its middle; the outermost, which has no end, so that all of them average 1.
    """
    es = expected_shortfall(law, value_at_risk(law, rate, short=short), rate, short=short)
    levels = [rate * (k + 0.5) / points for k in range(1, points)]
    inner = np.stack([value_at_risk(law, level, short=short) / es for level in levels], axis=-1)
    return np.concatenate([points - inner.sum(axis=-1, keepdims=True), inner], axis=-1)


def _log_likelihood(kept: int, exceeded: int, rate: float) -> float:
    return float(special.xlog1py(kept, -rate) + special.xlogy(exceeded, rate))


def _chi_squared(statistic: float, degrees: int) -> float:
    return float(special.chdtrc(degrees, max(statistic, 0.0)))


def _rank_p(null: Sample, value: float) -> float:
    known = null[~np.isnan(null)]
    if np.isnan(value) or not len(known):
        return float("nan")
    return float((1 + np.count_nonzero(known <= value)) / (1 + len(known)))
