"""What a careful reader would ask about: too good, from too little, chosen with hindsight, unsure of itself.

A flag is raised on evidence, never on a mere chance of luck: each has a threshold that an honest study stays below.
Silence proves nothing.
"""

from collections.abc import Sequence
from math import isfinite, nan, sqrt

import numpy as np
from jaxtyping import Bool, Float64

from longshort.models.forecast import Values
from longshort.study.account.tearsheet import figures
from longshort.study.case import Case
from longshort.study.evidence.concentration import carried_by_days, carried_by_one, is_notable, profit_by_coin
from longshort.study.evidence.plausible import bars_of, implausible, much_better, repeated
from longshort.study.metrics import per_instant
from longshort.study.report import Comparison, Verdict, Word, noun_of
from longshort.study.section import Flag
from longshort.study.significance import LEVEL, skill_test
from longshort.study.trials import daily

Grid = Bool[np.ndarray, "time asset"]

MOST_SHARPE = 3.0  # after costs: published results above it needed an explanation
SURE = 3.0  # standard errors
UNRECORDED = 20  # configurations that somebody may have tried without telling
MANY_TRIES = 200
LEAST_INSTANTS = 617  # find a hit rate of 55 % with 80 % power: 0.25 (1.645 + 0.842)² / 0.05²
FAR_OFF = 0.05  # of the share that a 90 % interval covers
NEAR = 0.02
LEAST_COINS, LEAST_YEARS = 5, 1.0  # of a universe whose dead are missed
SEED_NATS = 0.02  # three times the smallest useful skill


def flags(case: Case) -> tuple[Flag, ...]:
    """Every red flag of a case, the serious ones first."""
    bars, rows, noun = case.market.bars, case.walk.tested, noun_of(case.market.bars.calendar.name)
    crps = [c for c in case.comparisons if c.metric == "crps"]
    raised = [
        *implausible(case.forecast.law.mean(), case.truth.outcome, case.panel.closed_at, _axes(case)),
        *much_better(crps),
        *repeated(case.forecast.law.mean(), case.truth.outcome, case.forecast.horizons),
        *coverage_off(case.forecast.law.cdf(case.truth.outcome), case.forecast.horizons),
        *few_instants(case.truth.outcome, case.forecast.horizons, noun),
        *seeds_apart(_seed_scores(case), case.comparisons),
        *tries(case.verdicts, len(case.tried)),
        *(_money(case) if case.money.ledgers else ()),
    ]
    if bars.venue != "embedded":
        raised += hindsight(bars.listed, rows.start, len(bars) / bars.bars_per_year, noun)
    return tuple(sorted(raised, key=lambda flag: flag.severity))


def coverage_off(rank: Values, horizons: Sequence[int]) -> list[Flag]:
    """A 90 % interval that is far from covering 90 %, surely so; `rank` is the law's cdf at what came."""
    raised: list[Flag] = []
    for k, horizon in enumerate(horizons):
        inside = np.where(np.isfinite(rank[..., k]), (np.abs(rank[..., k] - 0.5) <= 0.45).astype(float), nan)
        off = per_instant(inside) - 0.9
        test = skill_test(off, np.arange(len(off)), horizon_bars=horizon)
        if abs(test.mean) > FAR_OFF and abs(test.mean) - test.half_width > NEAR and not test.reason:
            side = (
                "too narrow: risk is larger than it says" if test.mean < 0.0 else "too wide: it says little"
            )
            seen = f"The 90 % interval {bars_of(horizon)} ahead covered {0.9 + test.mean:.1%} of what came."
            meaning = (
                f"It is {side}. Look at the coverage by volatility, and use the conformal interval instead."
            )
            severe = "serious" if abs(test.mean) > 2 * FAR_OFF else "warning"
            raised.append(Flag(name="intervals do not hold", seen=seen, meaning=meaning, severity=severe))
    return raised


def few_instants(outcome: Values, horizons: Sequence[int], noun: str) -> list[Flag]:
    """A test span on which even a hit rate of 55 % would often go unseen."""
    nearest = int(np.argmin(horizons))
    count = int(np.isfinite(outcome[..., nearest]).any(axis=1).sum())
    if count >= LEAST_INSTANTS:
        return []
    seen = (
        f"{count:,} instants are scored {bars_of(horizons[nearest])} ahead, over {outcome.shape[1]} {noun}."
    )
    meaning = (
        f"One series needs {LEAST_INSTANTS} to find a hit rate of 55 % with 80 % power, and 3,863 for 52 %. "
        "NO EDGE and INCONCLUSIVE mean little here: use more history or shorter bars."
    )
    return [Flag(name="too little to judge", seen=seen, meaning=meaning)]


def seeds_apart(
    scores: Float64[np.ndarray, "fold seed horizon"], compared: Sequence[Comparison]
) -> list[Flag]:
    """Seeds whose validation scores differ by more than the gain that they claim together.

    `scores` are log densities in nats per fold, seed and horizon, in the order of the horizons in `compared`.
    """
    gains = [c for c in compared if c.metric == "log_score"]
    horizons = list(dict.fromkeys(c.horizon_bars for c in gains))
    if scores.shape[1] < 2 or scores.shape[2] != len(horizons):
        return []
    apart = scores.std(axis=1, ddof=1).mean(axis=0)
    worst = int(np.argmax(apart))
    gain = min(c.skill for c in gains if c.horizon_bars == horizons[worst])
    if not apart[worst] > max(SEED_NATS, gain):
        return []
    seen = (
        f"On the validation rows the log score of one seed differs from another's by {apart[worst]:.3f} nats "
        f"{bars_of(horizons[worst])} ahead (standard deviation); together they are {gain:+.3f} nats ahead of the best."
    )
    meaning = (
        "The result depends on the draw of the seeds. Average more of them, or train longer; never pick one."
    )
    return [Flag(name="seeds disagree", seen=seen, meaning=meaning)]


def tries(verdicts: Sequence[Verdict], tried: int) -> list[Flag]:
    """A win that would not survive the number of tries, on record or not; or more tries than anybody can discount."""
    won = [v for v in verdicts if v.word is Word.BEATS]
    weak = max(won, key=lambda v: v.p_value, default=None)
    if tried >= MANY_TRIES:
        seen = f"{tried:,} configurations were evaluated on this stretch of data."
        meaning = (
            "The best of so many looks good by luck alone: believe only the sealed holdout, opened once."
        )
        return [Flag(name="very many tries", seen=seen, meaning=meaning)]
    if weak is None or weak.p_value * max(tried, UNRECORDED) < LEVEL:
        return []
    what = f"{weak.question} {bars_of(weak.horizon_bars)} ahead wins with p = {weak.p_value:.3f}"
    if tried > 1 and weak.p_value * tried >= LEVEL:
        seen = f"{what}, the best of {tried} configurations on record."
        counted = min(tried * weak.p_value, 1.0)
        meaning = f"With all of them counted p is {counted:.2f}: luck does as well. Test it on new data."
        return [Flag(name="won by trying", seen=seen, meaning=meaning)]
    enough = int(LEVEL / weak.p_value)
    seen = f"{what}; {max(tried, 1)} configuration{'s are' if tried > 1 else ' is'} on record."
    meaning = (
        f"That stands only if no more than {enough} were tried in all. If settings were chosen elsewhere, on this or "
        "similar data, the count is wrong and the win is not proved: test it on new data."
    )
    return [Flag(name="few tries on record", seen=seen, meaning=meaning)]


def hindsight(listed: Grid, first_test_row: int, years: float, noun: str) -> list[Flag]:
    """A wide universe of which nothing died, or that holds what was not listed when testing began."""
    coins = listed.shape[1]
    if coins < LEAST_COINS:
        return []
    late = int((~listed[: first_test_row + 1].any(axis=0)).sum())
    alive = bool(listed[-1].all()) and years >= LEAST_YEARS
    if not (late or alive):
        return []
    facts = [f"all {coins} {noun} still trade at the end of {years:.1f} years"] if alive else []
    facts += [f"{late} of {coins} {noun} were not yet listed when testing began"] if late else []
    seen = f"{' and '.join(facts)}."
    meaning = (
        "Chosen today, such a list leaves out what failed, which flatters whoever is long. If it was not chosen as of "
        "a date before the test, choose it so: `longshort fetch --universe top50 --as-of DATE`."
    )
    return [Flag(name="universe chosen with hindsight?", seen=seen[0].upper() + seen[1:], meaning=meaning)]


def high_sharpe(sharpe: float, years: float) -> list[Flag]:
    """A Sharpe ratio after costs that no luck of its span explains."""
    if not (isfinite(sharpe) and sharpe > MOST_SHARPE and sharpe * sqrt(years) > SURE):
        return []
    seen = f"The Sharpe ratio after costs is {sharpe:.1f} over {years:.1f} years."
    meaning = (
        "Above 3 is rare and asks for an explanation. Look at costs, at fills one bar later and at the capacity, and "
        "run `longshort audit`."
    )
    return [Flag(name="Sharpe ratio above 3", seen=seen, meaning=meaning, severity="serious")]


def _money(case: Case) -> list[Flag]:
    ledger, bars = case.money.ledgers[case.model], case.market.bars
    found = figures(ledger.equity, ledger.starting_balance, bars.bars_per_year)
    raised = high_sharpe(found.sharpe, len(ledger.equity) / bars.bars_per_year)
    _, returns = daily(ledger.closed_at, ledger.equity, ledger.starting_balance)
    returns = returns[np.isfinite(returns)]
    if is_notable(returns):
        rows = case.walk.tested
        coins = profit_by_coin(ledger, bars[rows.start : rows.stop])
        raised += carried_by_days(returns, ledger.returns[np.isfinite(ledger.returns)])
        raised += carried_by_one(coins, ledger.symbols)
    return raised


def _axes(case: Case) -> tuple[tuple[str, ...], tuple[int, ...]]:
    return case.forecast.symbols, case.forecast.horizons


def _seed_scores(case: Case) -> Float64[np.ndarray, "fold seed horizon"]:
    """The best validation log density of each seed, where the model is an ensemble of seeds."""
    folds = [getattr(models.get(case.model), "members", ()) for models in case.walk.fitted]
    best = [[np.max(member.curve.score, axis=0) for member in members] for members in folds]
    return np.array(best, dtype=np.float64) if best and all(best) else np.zeros((0, 0, 0))
