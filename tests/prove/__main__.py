"""Run the proofs: `python -m tests.prove [--sample] [NAME...]`; exit code 1 if a claim does not hold.

Names are those of `PROOFS`; without one all are proved, and in full the page is written.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from . import plan as plans
from .audits import Audited
from .coverage import prove_coverage
from .data import Proved, prove_following, prove_kills, prove_mixtures, prove_planted
from .drift import prove_drift
from .edges import Known, Planted, Silent
from .family import prove_family
from .leaks import Found
from .paper import prove_paper
from .record import Claim, clopper_pearson, write_page
from .verdicts import MONEY_QUESTIONS, Judged
from .work import run

FALSE_ALARMS = 0.05
TEXTBOOK_GAP = 0.005  # nats
SINGLE_TESTS = (
    ("majority", "accuracy", 1),
    ("majority", "accuracy", 4),
    ("majority", "brier", 1),
    ("cash", "net_return", 4),
    ("buy and hold", "net_return", 4),
)


def main() -> int:
    """Run what the plan says, print every claim, and in full write the page."""
    sampled = "--sample" in sys.argv[1:]
    names = [word for word in sys.argv[1:] if word != "--sample"] or list(PROOFS)
    claims: list[Claim] = []
    notes: list[str] = []
    seconds = 0.0
    for name in names:
        proved, spent, said = PROOFS[name](plans.SAMPLE if sampled else plans.FULL)
        sys.stdout.write("".join(f"{line}\n" for line in (*proved, *said)))
        sys.stdout.flush()
        claims += proved
        notes += said
        seconds += spent
    if not sampled and names == list(PROOFS):
        write_page(claims, seconds, notes)
    return 0 if all(claim.holds for claim in claims) else 1


def prove_honesty(plan: plans.Plan) -> Proved:
    """Markets without an edge: no word of direction or profit may claim one more often than the level says."""
    found: list[Judged] = run("markets without an edge", plans.honest_jobs(plan))
    claimed = sum(judged.claims(*MONEY_QUESTIONS) for judged in found)
    family = Claim(
        title="A market without an edge",
        counted="markets with BEATS in direction or profit",
        hits=claimed,
        of=len(found),
        claim="at most 5 %",
        holds=clopper_pearson(claimed, len(found))[0] <= FALSE_ALARMS,
    )
    return [family, *(_alone(found, *test) for test in SINGLE_TESTS)], _seconds(found), NOTES[:1]


def prove_power(plan: plans.Plan) -> Proved:
    """Markets with an edge: the stronger it is, the more often it must be found; the strongest mostly."""
    claims: list[Claim] = []
    seconds = 0.0
    for edge in plans.EDGES:
        found: list[Judged] = run(f"markets with an edge of {edge}", plans.planted_jobs(plan, edge))
        hits = sum(judged.words["direction", 1] == "BEATS" for judged in found)
        wanted = edge == max(plans.EDGES)
        claims.append(
            Claim(
                title=f"An edge is planted: the next mean is -{edge:g} of the last shock",
                counted="markets with BEATS in direction, 1 bar ahead",
                hits=hits,
                of=len(found),
                claim="more than half" if wanted else "none: this edge is small",
                holds=2 * hits > len(found) or not wanted,
            )
        )
        seconds += _seconds(found)
    return claims, seconds, ()


def prove_silence(plan: plans.Plan) -> Proved:
    """Textbook markets without drift or edge: direction and profit at Holm's 1 %, hardly ever claimed."""
    found: list[Silent] = run("symmetric GARCH-t markets", plans.silent_jobs(plan))
    claimed = sum(silent.claims for silent in found)
    claim = Claim(
        title="Symmetric GARCH-t without drift: accuracy and Brier at one horizon, or profit; Holm at 1 %",
        counted="markets with any claim",
        hits=claimed,
        of=len(found),
        claim="at most 5 %",
        holds=20 * claimed <= len(found),
    )
    return [claim], _seconds(found), ()


def prove_known_edge(plan: plans.Plan) -> Proved:
    """An edge of known size is found as often as theory says."""
    found: list[Planted] = run("markets with an edge of known size", plans.known_edge_jobs(plan))
    rows = found[0].rows
    oracle, network = (sum(getattr(planted, who) for planted in found) for who in ("oracle", "network"))
    claims = [
        _share(f"The oracle's direction, {rows:,} instants: 80 % by theory", oracle, len(found), 0.75, 0.85),
        _share(f"The network's direction, {3 * rows:,} instants", network, len(found), 0.8, 1.0),
    ]
    hits = [
        sum(getattr(p, who) for p in found) / len(found) for who in ("oracle_accuracy", "network_accuracy")
    ]
    note = f"The oracle names {hits[0]:.2%} of directions rightly, the network {hits[1]:.2%}; one test, one-sided 5 %."
    return claims, _seconds(found), (note,)


def prove_known_law(plan: plans.Plan) -> Proved:
    """Nats behind the true law: as near to it as GARCH where GARCH is true, nearer where it is not."""
    if not plan.known_law:
        return [], 0.0, ()  # minutes a market: no part of a sample
    found: list[Known] = run("markets of a known law", plans.known_law_jobs(plan))
    textbook = [known.behind["LSTM"] - known.behind["GJR-GARCH-t"] for known in found if known.law == "gjr"]
    rich = [known.behind for known in found if known.law == "market"]
    near = sum(textbook) / len(textbook)
    claims = [
        Claim(
            title=f"Pure GJR-t: the network is {near:.4f} nats behind GJR-GARCH-t on average",
            counted="markets in which it is within .005",
            hits=sum(gap <= TEXTBOOK_GAP for gap in textbook),
            of=len(textbook),
            claim="on average within .005",
            holds=near <= TEXTBOOK_GAP,
        ),
        *[
            Claim(
                title=f"Seasons, regimes, coins that move together: {_gain(rich, rival):+.4f} nats on {rival}",
                counted="markets in which the network is nearer to the truth",
                hits=sum(behind["LSTM"] < behind[rival] for behind in rich),
                of=len(rich),
                claim="more than half, and on average",
                holds=_gain(rich, rival) > 0 and 2 * sum(b["LSTM"] < b[rival] for b in rich) > len(rich),
            )
            for rival in ("GARCH-t", "GJR-GARCH-t", "HAR-t")
        ],
    ]
    return claims, _seconds(found), ()


def prove_causality(plan: plans.Plan) -> Proved:
    """Nothing that comes after a bar changes what was said at it."""
    looked: list[Found] = run("what comes after a bar", plans.leak_jobs(plan))
    refitted: list[Found] = run("fits", plans.refit_jobs(plan))
    streamed: list[Found] = run("bar by bar", plans.stream_jobs(plan))
    caught: list[Found] = run("a leak on purpose", plans.control_jobs(plan))
    claims = [
        _never("The future cut off, or noise", "bars whose features differ", looked, "features"),
        _never("The future cut off, or noise", "bars whose forecast differs", looked, "forecasts"),
        _never("The future cut off, or noise", "bars whose exposure differs", looked, "exposures"),
        _never("What a fold may not know is noise", "fits that differ", refitted, "forecasts"),
        _never("The pilot fed bar by bar", "bars whose forecast differs", streamed, "forecasts"),
        _never("The pilot fed bar by bar", "bars whose exposure differs", streamed, "exposures"),
        _always("Control: a feature that sees the next bar", "bars at which it shows", caught, "features"),
        _always(
            "Control: a feature that sees the next bar", "forecasts in which it shows", caught, "forecasts"
        ),
    ]
    return claims, _seconds([*looked, *refitted, *streamed, *caught]), NOTES[1:]


def prove_clean(plan: plans.Plan) -> Proved:
    """The audit accuses no honest study."""
    found: list[Audited] = run("audits of honest studies", plans.audit_jobs(plan))
    accused = [alarm for audited in found for alarm in audited.alarms]
    claim = Claim(
        title=f"The audit of honest studies ({sum(audited.checks for audited in found):,} checks)",
        counted="studies accused",
        hits=sum(bool(audited.alarms) for audited in found),
        of=len(found),
        claim="none",
        holds=not accused,
    )
    return [claim], _seconds(found), accused


def _alone(found: Sequence[Judged], opponent: str, metric: str, horizon_bars: int) -> Claim:
    hits = sum(judged.p_values[opponent, metric, horizon_bars] < FALSE_ALARMS for judged in found)
    return Claim(
        title=f"The same markets, one test alone: {metric.replace('_', ' ')} against {opponent}, {horizon_bars} bars",
        counted="markets with p below .05",
        hits=hits,
        of=len(found),
        claim="at most 5 %",
        holds=clopper_pearson(hits, len(found))[0] <= FALSE_ALARMS,
    )


def _share(title: str, hits: int, of: int, low: float, high: float) -> Claim:
    """Fails where the interval of the share lies wholly outside the range."""
    at_least, at_most = clopper_pearson(hits, of)
    return Claim(
        title=title,
        counted="markets in which it is found",
        hits=hits,
        of=of,
        claim=f"{low:.0%} to {high:.0%}",
        holds=at_most >= low and at_least <= high,
    )


def _gain(found: Sequence[Mapping[str, float]], rival: str) -> float:
    return sum(behind[rival] - behind["LSTM"] for behind in found) / len(found)


def _never(title: str, counted: str, found: Sequence[Found], what: str) -> Claim:
    hits, of = _total(found, what)
    return Claim(title=title, counted=counted, hits=hits, of=of, claim="none", holds=hits == 0)


def _always(title: str, counted: str, found: Sequence[Found], what: str) -> Claim:
    hits, of = _total(found, what)
    return Claim(title=title, counted=counted, hits=hits, of=of, claim="all", holds=hits == of)


def _total(found: Sequence[Found], what: str) -> tuple[int, int]:
    return sum(getattr(f, what) for f in found), sum(f.looked for f in found)


def _seconds(found: Sequence[Judged | Found | Audited | Silent | Planted | Known]) -> float:
    return sum(f.seconds for f in found)


NOTES = (
    "Markets are simulated (`longshort.data.simulator`): three coins, 4,000 hourly bars, two folds, one network of 16 "
    "units per fold. A market without an edge has prices that are a martingale; its volatility can be forecast, so "
    "density and volatility may well say BEATS there and are not counted. The words are corrected over all questions "
    "and horizons (Holm), and a question is won only against every opponent in every metric: that is why false "
    "alarms are rarer than 5 %.",
    "Leaks are looked for in markets of two coins and 3,000 bars, one bar in two hundred of them absent, with two "
    "seeds, two folds and a policy that trades at the slightest forecast. Bits are compared, without a tolerance.",
)


PROOFS: Mapping[str, Callable[[plans.Plan], Proved]] = MappingProxyType(
    {
        "honesty": prove_honesty,
        "power": prove_power,
        "silence": prove_silence,
        "known edge": prove_known_edge,
        "known law": prove_known_law,
        "family": prove_family,
        "coverage": prove_coverage,
        "drift": prove_drift,
        "causality": prove_causality,
        "clean": prove_clean,
        "kills": prove_kills,
        "following": prove_following,
        "mixtures": prove_mixtures,
        "paper": prove_paper,
        "planted": prove_planted,
    }
)

if __name__ == "__main__":
    sys.exit(main())
