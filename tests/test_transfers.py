"""Money that a person puts in or takes out: booked, journaled, no profit to the limits, and told from funding."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from longshort._commands import paper_purse
from longshort.base.errors import DataError
from longshort.base.instrument import AccountTerms
from longshort.base.settings import Study
from longshort.base.trading import LimitSettings
from longshort.policy.ledger import Ledger
from longshort.study.gap.split import booked_of
from longshort.study.gap.transfers import book_with_transfers
from longshort.trading.paper.account import PaperAccount
from longshort.trading.paper.diary import open_diary
from longshort.trading.paper.recollection import Recollection, journal_lines, recollect

from .test_paper_account import BALANCE, COSTS, CROSS, PLAIN, ROWS, Case, assert_same

BY_HAND = {3: 2_500.0, 9: -1_000.25, 10: -0.00000001, 27: 800.0}  # before which close
ISOLATED = AccountTerms(margin="isolated", leverage=5.0, execution="maker, then taker")


def run(case: Case, rows: range, by_hand: Mapping[int, float]) -> PaperAccount:
    """Go on with some rows; opening prices come early at every third, and money before or after them."""

    async def session() -> PaperAccount:
        with open_diary(case.folder) as diary:
            account = case.open(diary)
            await account.start()
            try:
                for row in rows:
                    for money in [by_hand[at] for at in by_hand if at == row]:
                        account.on_transfer(money)
                    account.on_row(case.bars[row : row + 1])
                    case.open_early(account, row)
            finally:
                await account.stop()
            return account

    return asyncio.run(session())


def expected(case: Case, by_hand: Mapping[int, float] = BY_HAND) -> Ledger:
    moved = np.array([by_hand.get(row, 0.0) for row in range(ROWS)])
    return book_with_transfers(
        case.bars, case.wishes, COSTS, moved, starting_balance=BALANCE, account=case.account
    )


def remembered(case: Case) -> Recollection:
    return recollect(journal_lines(case.folder), case.warm[-1:], BALANCE)


@pytest.mark.parametrize(("seed", "account"), [(2, CROSS), (4, ISOLATED), (6, PLAIN)])
def test_money_by_hand_is_booked_as_the_ledger_books_it_whatever_restarts(
    tmp_path: Path, seed: int, account: AccountTerms
) -> None:
    case = Case(tmp_path, seed=seed, account=account)

    run(case, range(9), BY_HAND)
    last = run(case, range(9, ROWS), BY_HAND)

    assert_same(case.booked(last), expected(case))
    assert not np.array_equal(expected(case).quantity, expected(case, {}).quantity)


@pytest.mark.parametrize(
    ("seed", "account", "insured"), [(0, ISOLATED, 22.7), (2, CROSS, 0.0), (6, PLAIN, 0.0)]
)
def test_the_journal_tells_funding_from_money_by_hand_to_the_last_unit(
    tmp_path: Path, seed: int, account: AccountTerms, insured: float
) -> None:
    case = Case(tmp_path, seed=seed, account=account)
    run(case, range(ROWS), BY_HAND)

    booked = remembered(case).booked

    assert {row: money for row, money in enumerate(booked.moved.tolist()) if money} == BY_HAND
    np.testing.assert_allclose(booked.funding, expected(case).funding.sum(axis=1), rtol=0, atol=1e-9)
    assert expected(case).insurance.sum() == pytest.approx(insured, abs=0.1)
    assert np.abs(booked.funding).max() > 0.01
    assert booked.apart


@pytest.mark.parametrize(
    ("seed", "account"), [(0, ISOLATED), (2, CROSS), (8, replace(CROSS, latency_ms=1_500))]
)
def test_the_journal_and_the_ledger_say_in_which_bar_each_fill_was(
    tmp_path: Path, seed: int, account: AccountTerms
) -> None:
    case = Case(tmp_path, seed=seed, account=account)
    run(case, range(ROWS), {})

    told, known = (
        [(fill.row, fill.asset, fill.quantity, fill.price) for fill in one.fills]
        for one in (remembered(case).booked, booked_of(expected(case, {})))
    )

    assert sorted(told) == sorted(known)
    assert len(told) > 20


def test_money_taken_out_is_no_loss_to_the_limits(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "lost").mkdir()
    out, still = Case(tmp_path / "out", account=PLAIN), Case(tmp_path / "lost", account=PLAIN)
    out.limits = still.limits = LimitSettings(max_drawdown=0.9)
    before, after = run(out, range(4), {3: -4_000.0}), run(still, range(4), {})

    peaks = [account.mind.limits.state.peak for account in (before, after)]

    assert peaks[0] == pytest.approx(peaks[1] - 4_000.0)
    assert before.mind.limits.state.equity == pytest.approx(after.mind.limits.state.equity - 4_000.0)


def test_a_position_that_is_too_large_for_the_money_left_is_cut(tmp_path: Path) -> None:
    """Half the account is held; 7,000 of 10,000 are taken out before close 12, which leaves it at 1.5 times."""
    case = Case(tmp_path, account=PLAIN)
    case.limits = LimitSettings(max_leverage=0.6)
    target = np.full((ROWS, 3), np.nan)
    target[2:5, 0] = 0.5
    case.wishes = replace(case.wishes, target=target, stop=target * np.nan, take=target * np.nan)

    run(case, range(ROWS), {12: -7_000.0})

    told = [line for line in case.lines if line["kind"] == "decided"]
    leverage = [sum(abs(p["notional"]) for p in line["positions"]) / line["equity"] for line in told]
    cut = next(n for n in range(12, ROWS) if leverage[n] <= 0.6)
    assert min(leverage[6:12]) > 0.3
    assert leverage[12] > 1.2
    assert case.bars.present[13, 0]
    assert cut == 13


@pytest.mark.parametrize("money", [-BALANCE, -2.0 * BALANCE, float("nan"), float("inf")])
def test_more_than_there_is_cannot_be_taken_out(tmp_path: Path, money: float) -> None:
    case = Case(tmp_path)

    with pytest.raises(DataError, match="would leave"):
        run(case, range(1), {0: money})

    assert [line["kind"] for line in case.lines] == ["begun"]


def test_another_terminal_moves_money_in_a_session_that_runs_and_is_told_why_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = Study.parse({}, folder=tmp_path)
    case = Case(paper_purse.paper_folder(study))
    refused: list[str] = []

    async def session() -> PaperAccount:
        with open_diary(case.folder) as diary, ThreadPoolExecutor() as elsewhere:
            account = case.open(diary)
            await account.start()
            for money in (500.0, 500.0, -20_000.0, 0.0):
                told = asyncio.get_running_loop().run_in_executor(
                    elsewhere, paper_purse.transfer, study, money
                )
                while not told.done():
                    paper_purse.take_transfer(case.folder, account)
                    await asyncio.sleep(0.01)
                refused.append(str(told.exception() or ""))
            account.on_row(case.bars[:1])
            await account.stop()
            return account

    account = asyncio.run(session())

    assert account.books.equity == BALANCE + 1_000.0
    assert refused[:2] == ["", ""]
    assert "-20,000.00 would leave -9,000.00 in the account" in refused[2]
    assert "no money is named" in refused[3]
    assert (
        capsys.readouterr().out.splitlines()
        == ["+500.00 is on record, and counts from the next close on."] * 2
    )
    with pytest.raises(DataError, match="no paper session of this study is running"):
        paper_purse.transfer(study, 5.0)
