"""The proofs of market data: what is fetched, followed and checked is whole, or it is said what is missing."""

from tests.planted import Counts

from . import plan as plans
from .following import Followed
from .kills import MOST_UNDER_WAY, Killed
from .mixtures import Mixed
from .record import Claim
from .work import run

RECALL, FALSE_PER_100_000 = 0.95, 1.0
Proved = tuple[list[Claim], float, tuple[str, ...]]


def prove_kills(plan: plans.Plan) -> Proved:
    """SIGKILL at any moment leaves a lake that is whole, and the next run completes it."""
    batches: list[Killed] = run("killed fetches", plans.kill_jobs(plan))
    fetches = [fetch for batch in batches for fetch in batch.fetches]
    kills = [kill for fetch in fetches for kill in fetch.kills]
    title, bars = "A fetch ended by SIGKILL, once or twice", sum(fetch.bars for fetch in fetches)
    lost = sum(kill.lost for kill in kills)
    note = (
        "Kills come at seeded moments, uniformly over the whole run or, for every fourth fetch, over the writing of "
        f"its series: {sum(k.has_parts for k in kills)} of {len(kills)} found stretches that waited and "
        f"{sum(k.has_series for k in kills)} series that were written. A lake is whole if all can be read with its "
        f"checksum and every file holds each row of the windows it says were asked for. Asked for twice were {lost:,} "
        f"bars beside {bars:,}."
    )
    return (
        [
            _never(
                title, "kills after which the lake was not whole", sum(not k.whole for k in kills), len(kills)
            ),
            _never(
                title, "completed lakes that differ from an undisturbed one", _unlike(batches), len(fetches)
            ),
            _never(
                title,
                "kills that cost more than was under way",
                sum(kill.lost > MOST_UNDER_WAY for kill in kills),
                len(kills),
            ),
        ],
        sum(batch.seconds for batch in batches),
        (note,),
    )


def prove_following(plan: plans.Plan) -> Proved:
    """An hour of market time at 600 times its speed, with a stream that breaks in every way."""
    hours: list[Followed] = run("followed hours", plans.follow_jobs(plan))
    title, wanted = "Following at 600 times the speed, six troubles an hour", sum(h.wanted for h in hours)
    streamed, died = sum(h.streamed for h in hours), [h.died for h in hours if h.died]
    troubles = {name: sum(h.troubles[name] for h in hours) for name in hours[0].troubles}
    note = (
        f"Streams were {', '.join(f'{name} {count} times' for name, count in troubles.items())} (1001; 1006; dials "
        f"answered with 503; nothing sent; no server at all). Of the bars of these hours {streamed:,} came from the "
        "stream, the others from the record that was asked after each break."
    )
    return (
        [
            _never(title, "hours that ended before their end", len(died), len(hours)),
            _never(title, "bars that are missing", sum(h.missing for h in hours), wanted),
            _never(title, "bars that are there twice", sum(h.doubled for h in hours), wanted),
            _never(title, "bars that are unfinished or wrong", sum(h.wrong for h in hours), wanted),
            _never(
                title, "streamed bars that the record corrects", sum(h.corrected for h in hours), streamed
            ),
        ],
        sum(h.seconds for h in hours),
        (note, *died),
    )


def prove_mixtures(plan: plans.Plan) -> Proved:
    """Random mixtures of every passing fault: all rows, or a word about those that are not there."""
    found: list[Mixed] = run("mixtures of faults", plans.mixture_jobs(plan))
    title, wanted = "A fetch through a random mixture of faults", sum(m.wanted for m in found)
    gave_up = sum(m.gave_up for m in found)
    note = (
        f"{sum(m.faults for m in found):,} answers were spoiled. {gave_up} of {len(found)} fetches gave up with a "
        f"sentence; the others counted {sum(m.counted for m in found):,} rows as missing."
    )
    return (
        [
            _never(title, "rows that are wrong", sum(m.wrong for m in found), wanted),
            _never(title, "rows missing without a word", sum(m.silent for m in found), wanted),
            _never(title, "rows that do not come later either", sum(m.lost for m in found), wanted),
            _never(
                title,
                "fetches that gave up without one sentence",
                sum(m.speechless for m in found),
                len(found),
            ),
        ],
        sum(m.seconds for m in found),
        (note,),
    )


def prove_planted(plan: plans.Plan) -> Proved:
    """Defects planted into clean real bars are found, and next to nothing else is."""
    if not plans.REAL.is_dir():
        return [], 0.0, ("Planted defects were not looked for: the real bars, ../shared/data, are not here.",)
    (counts,) = run("planted defects", plans.planted_defect_jobs(plan))
    assert isinstance(counts, Counts)
    found = sum(p.found for p in counts.planted)
    alarms = len(counts.false_alarms)
    table = ", ".join(f"{name} {hits}/{of}" for name, hits, of in counts.table())
    return (
        [
            Claim(
                title="Defects planted into real bars",
                counted="found by `check`",
                hits=found,
                of=len(counts.planted),
                claim="at least 95 %",
                holds=counts.recall >= RECALL,
            ),
            Claim(
                title="The same bars where nothing was planted",
                counted="bars with an alarm",
                hits=alarms,
                of=counts.clean_bars,
                claim="at most 1 in 100,000",
                holds=counts.false_per_100_000 <= FALSE_PER_100_000,
            ),
        ],
        0.0,
        (f"Planted and found, sizes in local robust scales: {table}.",),
    )


def _unlike(batches: list[Killed]) -> int:
    return sum(not fetch.same for batch in batches for fetch in batch.fetches)


def _never(title: str, counted: str, hits: int, of: int) -> Claim:
    return Claim(title=title, counted=counted, hits=hits, of=of, claim="none", holds=hits == 0)
