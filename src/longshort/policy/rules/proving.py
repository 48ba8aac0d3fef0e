"""What every rule and every sizer must keep to, tried on made-up closes: ours in the tests, the user's before use.

Causal it is by construction: a view has one close and no later one. Tried is the rest: an answer depends on the view
alone, so that batch equals stream and nothing depends on where one began; what is not known adds nothing; no cap is
exceeded; and the mirror image of a forecast is never answered with the same side.
"""

from dataclasses import replace

import numpy as np

from longshort.models.forecast import Stance, StudentT
from longshort.policy.rules.catalog import PolicyRule, Rule, within_limits
from longshort.policy.rules.sizing import Sizer
from longshort.policy.rules.view import PerCoin, View

CLOSES = 48
COINS = ("A", "B", "C", "D")
DEVIATION = 0.01  # of a made-up log return over the horizon
SLACK = 1e-9


def closes(rule: Rule, *, seed: int = 7, count: int = CLOSES) -> list[View]:
    """Made-up closes: calm and wild, sure and vague, with holes, flat and held."""
    rng = np.random.default_rng(seed)
    found: list[View] = []
    for row in range(count):
        shape = (1, len(COINS), 1)
        scale = DEVIATION * np.exp(rng.normal(0.0, 0.7, shape))
        loc = scale * rng.normal(0.0, 0.5, shape)
        gone = rng.random(shape) < 0.15
        law = StudentT(
            loc=np.where(gone, np.nan, loc),
            scale=np.where(gone, np.nan, scale),
            df=rng.uniform(3.0, 12.0, shape),
        )
        held = np.where(rng.random(len(COINS)) < 0.4, 0.0, rng.normal(0.0, 0.1, len(COINS)))
        cap = rule.policy.max_exposure
        found.append(view_of(rule, law, np.clip(held, -cap, cap), rng=rng, closed_at=row))
    return found


def view_of(
    rule: Rule, law: StudentT, held: PerCoin, *, rng: np.random.Generator, closed_at: int = 0
) -> View:
    """A close with the forecast of one law, and all that a study may ask to be counted."""
    mean, deviation = law.mean()[0, :, 0], np.sqrt(law.variance()[0, :, 0])
    coins = len(mean)
    loading = rng.uniform(0.3, 0.9, coins)
    shared = np.outer(loading, loading)
    np.fill_diagonal(shared, 1.0)
    middle, reach = np.clip(mean / deviation, -1.0, 1.0), rng.uniform(0.0, 0.3, coins)
    return View(
        closed_at=closed_at,
        symbols=COINS[:coins],
        law=law,
        horizon=0,
        horizon_bars=rule.policy.horizon_bars,
        mean=mean,
        deviation=deviation,
        volatility=deviation * np.sqrt(rule.bars_per_year / rule.policy.horizon_bars),
        held=held,
        funding=rng.normal(0.0, 1e-4, coins) if rule.policy.funding_aware else np.zeros(coins),
        side=np.zeros(coins),
        cost=np.zeros(coins),
        correlation=shared if rule.policy.correlation else None,
        stance=Stance(
            low=(middle - reach)[None], high=(middle + reach)[None], volatility=0.5 * deviation[None]
        ),
    )


def mirrored(view: View) -> View:
    """The same close with every gain a loss of the same size."""
    law, stance = view.law, view.stance
    assert isinstance(law, StudentT)
    return replace(
        view,
        law=replace(law, loc=-law.loc),
        mean=-view.mean,
        held=-view.held,
        funding=-view.funding,
        side=-view.side,
        stance=None if stance is None else replace(stance, low=-stance.high, high=-stance.low),
    )


def faults_of_rule(rule: PolicyRule, settings: Rule) -> list[str]:
    """What a rule breaks, one sentence each without a full stop; empty where it keeps to all."""
    views = closes(settings)
    answers = [rule.wish(view) for view in views]
    return [
        *_changes([rule.wish(view) for view in reversed(views)][::-1], answers, "wish"),
        *_same_side([rule.wish(mirrored(view)) for view in views], answers, views),
        *_outside(answers, views, settings),
    ]


def faults_of_sizer(sizer: Sizer, settings: Rule) -> list[str]:
    """What a sizer breaks, in the same way."""
    rng = np.random.default_rng(3)
    cost = np.full(len(COINS), settings.costs.round_trip)
    views = [view.toward(rng.choice([-1.0, 0.0, 1.0], len(COINS)), cost) for view in closes(settings)]
    answers = [sizer.size(view) for view in views]
    negative = any((size < 0.0).any() for size in answers)
    return [
        *_changes([sizer.size(view) for view in reversed(views)][::-1], answers, "size"),
        *(["size answers with less than 0"] if negative else []),
    ]


def _changes(again: list[PerCoin], first: list[PerCoin], method: str) -> list[str]:
    if all(np.array_equal(a, b, equal_nan=True) for a, b in zip(again, first, strict=True)):
        return []
    return [f"{method} answers otherwise to the same view when it is asked again: it keeps something in mind"]


def _same_side(mirror: list[PerCoin], answers: list[PerCoin], views: list[View]) -> list[str]:
    for theirs, mine, view in zip(mirror, answers, views, strict=True):
        after = [np.where(np.isnan(a), h, a) for a, h in ((mine, view.held), (theirs, -view.held))]
        if (view.known & (after[0] * after[1] > 0.0)).any():
            return ["wish answers a forecast and its mirror image with the same side"]
    return []


def _outside(answers: list[PerCoin], views: list[View], settings: Rule) -> list[str]:
    """What the limits would let through amiss; they hold for every rule, so this finds a fault of ours."""
    policy, found = settings.policy, set[str]()
    for answer, view in zip(answers, views, strict=True):
        target = within_limits(answer, view, policy)
        after = np.where(np.isnan(target), view.held, target)
        if np.abs(after).sum() > policy.max_gross_exposure + SLACK:
            found.add("the book exceeds max_gross_exposure")
        if (np.abs(after) > policy.max_exposure + SLACK).any():
            found.add("a coin exceeds max_exposure")
        if ((np.abs(after) > np.abs(view.held) + SLACK) & ~view.known).any():
            found.add("a coin without a forecast gains exposure")
    return sorted(found)
