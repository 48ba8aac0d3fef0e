"""The fills could have been had, and no profit knows more than its own bar.

The price of a fill must become known after the decision. Profit booked up to a row must not move when prices after it
do, nor when the wishes formed at it or later are others: the bar that triggered a decision never enters its profit.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.clock import format_instant
from longshort.base.stage import History, Rows, Timeline, differing
from longshort.study.audit.answer import FAILURES
from longshort.study.audit.proof import Watch, spread
from longshort.study.audit.record import Account, Finding

LEAST = 8  # rows that are looked at whatever the time

PerBar = Float64[np.ndarray, " time"]


def fills(account: Account[History]) -> Finding:
    """Every fill's price becomes known after the decision."""
    early = account.known_at <= account.decided_at
    if not early.any():
        return Finding(
            stage=account.name,
            check="execution",
            outcome="clean",
            looked=len(early),
            detail=f"{len(early):,} fills, each at a price that was not known when it was decided",
        )
    row = int(np.argmax(early))
    return Finding(
        stage=account.name,
        check="execution",
        outcome="leak",
        looked=len(early),
        detail=(
            f"{int(early.sum()):,} of {len(early):,} fills have a price that was known when they were decided, "
            f"the first at {format_instant(int(account.decided_at[row]))}: same-bar fill."
        ),
        at=int(account.decided_at[row]),
        row=row,
        where="fills",
        size=float(account.decided_at[row] - account.known_at[row]),
    )


def profit(
    account: Account[History],
    history: History,
    timeline: Timeline[History],
    watch: Watch,
    rng: np.random.Generator,
) -> Finding:
    """Profit up to a row stays when later prices are noise and the wishes from that row on are others."""
    whole = account.profit(history, account.exposure)
    instants, looked, failures = timeline.instants(history), 0, list[str]()
    for row in _rows(account, timeline.edges(history), len(whole)):
        if watch.left < 0.0 and looked >= LEAST:
            break
        looked += 1
        instant = int(instants[row])
        noise = timeline.poisoned(history, instant, rng)
        others = _other_wishes(account.exposure, row, rng)
        try:
            if _first(whole, account.profit(noise, others), row) is None:
                continue
            prices = _first(whole, account.profit(noise, account.exposure), row)
        except FAILURES as error:
            failures.append(f"after {format_instant(instant)}: {error}")
            continue
        booked = account.profit(noise, others if prices is None else account.exposure)
        return _leak(account, whole, booked, (row, instant, prices is None), looked)
    failed = f"; {len(failures):,} could not be booked, first {failures[0]}" if failures else ""
    return Finding(
        stage=account.name,
        check="execution",
        outcome="warning" if failures else "clean",
        looked=looked,
        detail=f"profit after {looked:,} of {len(whole):,} rows, with other prices and wishes behind each{failed}",
    )


def _leak(
    account: Account[History], whole: PerBar, booked: PerBar, what: tuple[int, int, bool], looked: int
) -> Finding:
    row, instant, is_wish = what
    first = _first(whole, booked, row)
    assert first is not None
    why = (
        f"the wish formed at {format_instant(instant)} or later moves it: a bar earns for a decision that it triggered"
        if is_wish
        else f"prices or funding after {format_instant(instant)} move it"
    )
    return Finding(
        stage=account.name,
        check="execution",
        outcome="leak",
        looked=looked,
        detail=f"profit of row {first:,} is {whole[first]:.6g} and becomes {booked[first]:.6g}: {why}.",
        at=instant,
        row=first,
        where="profit",
        size=abs(float(whole[first]) - float(booked[first])),
    )


def _rows(account: Account[History], edges: Rows, count: int) -> Iterable[int]:
    """Rows with a wish first, every third from beside a hole, evenly spread; then all others."""
    wished = np.flatnonzero(np.isfinite(account.exposure).any(axis=1) & (account.exposure != 0.0).any(axis=1))
    wished, edges = wished[wished < count - 1], edges[edges < count - 1]
    rest = np.setdiff1d(np.arange(max(count - 1, 0)), wished)
    first = _mixed(wished[spread(len(wished))], edges[spread(len(edges))])
    return dict.fromkeys([*first, *rest[spread(len(rest))].tolist()])


def _mixed(often: Rows, seldom: Int64[np.ndarray, " other"]) -> Iterator[int]:
    for k, row in enumerate(often.tolist()):
        yield row
        if k % 2 and k // 2 < len(seldom):
            yield int(seldom[k // 2])


def _other_wishes(
    exposure: Float64[np.ndarray, "time asset"], row: int, rng: np.random.Generator
) -> Float64[np.ndarray, "time asset"]:
    changed = exposure.copy()
    changed[row:] = rng.uniform(-1.0, 1.0, size=changed[row:].shape)
    return changed


def _first(mine: PerBar, theirs: PerBar, row: int) -> int | None:
    """The first row up to `row` at which two profits differ."""
    wrong = np.flatnonzero(differing(mine[: row + 1], theirs[: row + 1]))
    return int(wrong[0]) if len(wrong) else None
