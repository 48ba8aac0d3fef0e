"""A snapshot and what came after it give the account back exactly as the whole journal does, or are not used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from longshort.base.errors import DataError
from longshort.base.instrument import AccountTerms
from longshort.base.trading import LimitSettings
from longshort.data.bars import Bars
from longshort.trading.paper import account as paper
from longshort.trading.paper.account import PaperAccount
from longshort.trading.paper.diary import NAME as JOURNAL
from longshort.trading.paper.diary import Diary
from longshort.trading.paper.snapshot import NAME

from .test_paper_account import CROSS, PLAIN, ROWS, Case, ScriptedMind

EVERY = 7
LIMITS = LimitSettings(max_daily_loss=0.05, max_losses_in_row=4, max_leverage=6.0, max_orders_per_hour=5)


class LastingMind(ScriptedMind):
    """Remembers what it was put back to."""

    restored = 0

    def state(self) -> Mapping[str, np.ndarray]:
        """Nothing: what it says depends on the close alone."""
        return {}

    def restore(self, state: Mapping[str, np.ndarray], bars: Bars) -> None:
        """Count it."""
        self.restored = len(bars)


class Kept(Case):
    """A case whose accounts take snapshots."""

    def open(self, diary: Diary, *, name: str = "study and model") -> PaperAccount:
        """The account as it is on record, with a mind that lasts."""
        account = super().open(diary, name=name)
        self.account_mind = LastingMind(self.wishes)
        return PaperAccount(account._terms, self.account_mind, self.warm, diary, self.heard)

    def reopened(self) -> tuple[PaperAccount, dict[str, bytes]]:
        """The account as a restart finds it, and all its tables and what the limits remember, bit for bit."""
        account = self.run(())
        state = {**account.books.state(10**6), **account.mind.state()}
        limits = {"limits": repr(account.mind.limits.state).encode()}
        return account, {name: np.asarray(table).tobytes() for name, table in state.items()} | limits


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "EVERY_ROWS", EVERY)


def play(case: Case, stops: Sequence[int]) -> None:
    for first, last in pairwise((0, *stops, ROWS)):
        case.run(range(first, last))


STORMS = [
    (2, CROSS),
    (4, AccountTerms(margin="isolated", leverage=5.0, execution="maker, then taker")),
    (6, PLAIN),
    (8, replace(CROSS, latency_ms=1_500)),
]


@pytest.mark.parametrize(("seed", "account"), STORMS)
def test_a_restart_from_a_snapshot_leaves_no_trace_in_a_storm(
    tmp_path: Path, seed: int, account: AccountTerms
) -> None:
    with_snapshots = Kept(tmp_path / "kept", seed=seed, account=account)
    without = Case(tmp_path / "whole", seed=seed, account=account)
    with_snapshots.limits = without.limits = LIMITS

    play(with_snapshots, (9, 16, 23, 31))
    play(without, ())

    assert (tmp_path / "kept" / JOURNAL).read_bytes() == (tmp_path / "whole" / JOURNAL).read_bytes()
    assert with_snapshots.account_mind.restored > 0


@pytest.mark.parametrize(("seed", "account"), STORMS[:2])
@pytest.mark.parametrize("rows", [14, 18])
def test_snapshot_and_tail_give_what_the_whole_journal_gives(
    tmp_path: Path, seed: int, account: AccountTerms, rows: int
) -> None:
    case = Kept(tmp_path, seed=seed, account=account)
    case.run(range(rows))

    quick, from_snapshot = case.reopened()
    used = case.account_mind.restored
    (tmp_path / NAME).unlink()
    whole, from_journal = case.reopened()

    assert used > 0
    assert case.account_mind.restored == 0
    assert from_snapshot == from_journal
    assert quick.closed_to == whole.closed_to


def test_a_kill_after_a_snapshot_costs_nothing_that_was_on_record(tmp_path: Path) -> None:
    case = Kept(tmp_path / "alive", seed=4, account=CROSS)
    case.run(range(2 * EVERY))
    size = (tmp_path / "alive" / JOURNAL).stat().st_size
    snapshot = (tmp_path / "alive" / NAME).read_bytes()
    case.run(range(2 * EVERY, 2 * EVERY + 2))
    journal = (tmp_path / "alive" / JOURNAL).read_bytes()
    ends = [n + 1 for n in range(size, len(journal)) if journal[n : n + 1] == b"\n"]

    for n, cut in enumerate([size + 9, *ends[:3]]):
        found: list[dict[str, bytes]] = []
        for kind, kept in (("quick", [snapshot]), ("whole", [])):
            folder = tmp_path / f"{kind}-{n}"
            killed = Kept(folder, seed=4, account=CROSS)
            folder.mkdir()
            (folder / JOURNAL).write_bytes(journal[:cut])
            (folder / f".{NAME}.half").write_bytes(snapshot[:500])
            for one in kept:
                (folder / NAME).write_bytes(one)
            found.append(killed.reopened()[1])
            assert (killed.account_mind.restored > 0) is bool(kept)
        assert found[0] == found[1]
        journals = [(tmp_path / f"{kind}-{n}" / JOURNAL).read_bytes() for kind in ("quick", "whole")]
        assert journals[0] == journals[1]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def other_past(path: Path) -> None:
    journal = path.with_name(JOURNAL)
    first, second, rest = journal.read_text().split("\n", 2)
    session = '{"kind": "session", "happened_at": 0, "what": "resumed", "detail": ""}'
    journal.write_text("\n".join([first, session, second, rest]))


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (flip, "it is damaged."),
        (cut_short, "it is damaged."),
        (other_past, "the journal is not the one that it stands for."),
        (Path.unlink, ""),
    ],
)
def test_a_snapshot_that_is_damaged_or_unlike_is_not_used(
    tmp_path: Path, harm: Callable[[Path], None], why: str
) -> None:
    case = Kept(tmp_path, seed=2, account=PLAIN)
    case.run(range(EVERY + 2))
    _, expected = case.reopened()
    harm(tmp_path / NAME)

    account, found = case.reopened()

    assert account.snapshots.refused == why
    assert case.account_mind.restored == 0
    assert found == expected


def test_a_snapshot_of_another_version_of_the_program_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Kept(tmp_path, seed=2, account=PLAIN)
    case.run(range(EVERY + 2))
    monkeypatch.setattr("longshort.trading.paper.snapshot.program", lambda: "newer")

    account, _ = case.reopened()

    assert account.snapshots.refused == "it was made by another version of the program."


def test_a_journal_that_is_shorter_than_its_snapshot_is_replayed_whole(tmp_path: Path) -> None:
    case = Kept(tmp_path, seed=2, account=PLAIN)
    case.run(range(EVERY))
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-400])

    account, _ = case.reopened()

    assert account.snapshots.refused == "the journal is shorter than it was then."


def test_an_account_that_ended_before_its_first_close_goes_on(tmp_path: Path) -> None:
    case = Kept(tmp_path, seed=2, account=PLAIN)
    case.run(())

    account = case.run(range(3))

    assert account.closes == 3


def test_a_full_disk_costs_the_snapshot_and_not_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, write: Callable[[Path], None]) -> None:
        raise DataError("it cannot be written: no space left on device.")

    monkeypatch.setattr("longshort.trading.paper.snapshot.write_atomically", full)
    case = Kept(tmp_path, seed=2, account=PLAIN)

    account = case.run(range(EVERY + 1))

    assert account.closes == EVERY + 1
    assert not (tmp_path / NAME).exists()
