"""What `backtest` prints: the account beside its rivals and under other terms, in 80 columns; or all of it."""

from dataclasses import asdict
from math import isfinite
from typing import Any

from longshort._commands.terminal import say, say_table
from longshort._commands.trade import OUT_OF_SAMPLE, Backtest
from longshort.study.account.dissection import CAUSES, Dissection, Standing
from longshort.study.account.tables import OWN, TOLD, cost_sentence, luck_sentence, won_share
from longshort.study.account.tearsheet import figures

BESIDE = ("buy and hold", "momentum")  # the rivals that are told in the terminal; the page has all
KINDS = frozenset({"taker", "maker"})


def tell_backtest(done: Backtest) -> None:
    """What the account earned, how sure that is, and what it was made of."""
    found, settle = done.dissection, done.sheet.bars.instruments[0].settle
    columns = ["", ">net return", ">Sharpe", ">95 % interval", ">drawdown"]
    say_table(done.sheet.title, columns, [_row(name, one) for name, one in _standings(found).items()])
    won = won_share(found.trades)
    if found.own.fills:
        say(f"{len(found.trades):,} trades from {found.own.fills:,} fills; {won:.0%} of the trades won.")
    say(cost_sentence(found))
    causes = found.causes
    told = [f"{TOLD.get(n, n)} {_money(causes[n])}" for n in CAUSES[:-1] if n in CAUSES[:3] or causes[n]]
    say(f"{settle}: {', '.join(told)}; net {_money(causes['net'])}.")
    say(luck_sentence(found))
    small = [f"{a.share:.0%} at {a.size:,.0f}" for a in found.small_accounts if isfinite(a.share)]
    if small:
        say(f"Orders below the venue's minimum: {', '.join(small)}.")
    if done.limited:
        say(f"Limits: {', '.join(f'{cause} {n:,}' for cause, n in done.limited.items())} (journal.jsonl).")
    say(
        f"Engine and ledger agree: cash differs by at most {done.largest_difference:.8f} {settle} at any close."
    )
    for one in done.sheet.notes:
        if one != OUT_OF_SAMPLE:
            say(one)
    say(f"Tear sheet: {done.folder / 'tearsheet.html'}")


def backtest_record(done: Backtest) -> dict[str, Any]:
    """What `backtest --json` prints: everything but the single fills and trades, which lie in the files it names."""
    found, ledger, bars = done.dissection, done.sheet.ledger, done.sheet.bars
    shape, paid = figures(ledger.equity, ledger.starting_balance, bars.bars_per_year), ledger.totals
    plain = {
        name: [asdict(one) for one in getattr(found, name)] for name in ("rivals", "variations", "executions")
    }
    return {
        "net_return": found.own.net_return,
        "sharpe": found.own.sharpe.sharpe,
        "sharpe_ci95": [found.own.sharpe.low, found.own.sharpe.high],
        "sortino": shape.sortino,
        "volatility": shape.volatility,
        "max_drawdown": found.own.max_drawdown,
        "fills": ledger.trades,
        "trades": len(found.trades),
        **asdict(paid),
        "equity": float(ledger.equity[-1]),
        "settle": bars.instruments[0].settle,
        "trials": found.trials,
        "probability_above_zero": found.above_zero,
        "probability_above_luck": found.above_luck,
        "break_even_bps": found.break_even_bps,
        "charged_bps": found.charged_bps,
        "causes": found.causes,
        "by_coin": found.by_coin.to_dicts(),
        **plain,
        "small_accounts": [asdict(one) | {"share": one.share} for one in found.small_accounts],
        "limits": dict(done.limited),
        "notes": list(done.sheet.notes),
        "execution_interval": str(bars.interval),
        "largest_difference": done.largest_difference,
        "files": {n: str(done.folder / f"{n}.csv") for n in ("trades", "fills", "funding")},
        "report": str(done.folder / "tearsheet.html"),
    }


def _standings(found: Dissection) -> dict[str, Standing]:
    rivals = {one.name: one for one in found.rivals if one.name in BESIDE}
    terms = {one.name: one for one in found.variations}
    sent = {f"as {one.name}": one for one in found.executions if one.name in KINDS - {found.execution}}
    return {OWN: found.own, **rivals, **terms, **sent}


def _money(value: float) -> str:
    """An amount that fits into a line: cents below a thousand, six digits below one (of a coin, say)."""
    return (
        f"{value:+,.0f}" if abs(value) >= 1_000 else f"{value:+,.2f}" if abs(value) >= 1 else f"{value:+.6g}"
    )


def _row(name: str, one: Standing) -> list[str]:
    sharpe = one.sharpe
    span = f"{sharpe.low:.2f} to {sharpe.high:.2f}" if isfinite(sharpe.low) else "too few days"
    known = f"{sharpe.sharpe:.2f}" if isfinite(sharpe.sharpe) else ""
    return [name, f"{one.net_return:+.2%}", known, span, f"{one.max_drawdown:.2%}"]
