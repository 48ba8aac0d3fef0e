"""A paper account seen and told from another terminal: `status`, `stop`, `flatten`. Files are all that they share."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from longshort._commands.following import ago
from longshort._commands.terminal import emit_json, say, say_table
from longshort.base.clock import SECOND, SystemClock, format_instant
from longshort.base.errors import DataError
from longshort.base.settings import Study
from longshort.policy.limits.switch import KillSwitch
from longshort.trading.paper.diary import Line, is_running, newest

FOLDER, STOP, HEARTBEAT = "paper", "STOP", "heartbeat.json"
STOPS_IN_S, POLL_S = 60.0, 0.2


def paper_folder(study: Study) -> Path:
    """Where a study's paper account lives."""
    return study.folder / FOLDER


def status(study: Study, *, as_json: bool = False) -> None:
    """Say how a paper account stands, and its model; raise `DataError` where there is none."""
    from longshort._commands import paper_model  # it loads torch, which the other commands do without

    told = status_of(study)
    of_model = paper_model.papers_told(study, SystemClock().now())
    if as_json:
        emit_json(told | {"papers": [asdict(one) for one in of_model]})
        return
    say_table("paper account", ("what", ">now"), [(name, text) for name, text in _facts(told)])
    rows = [
        (
            p["symbol"],
            f"{p['quantity']:+,g}",
            _number(p["entry"]),
            _number(p["price"]),
            f"{p['profit']:+,.2f}",
        )
        for p in told["positions"]
        if p["quantity"]
    ]
    if rows:
        say_table("positions", ("coin", ">contracts", ">entry", ">last close", ">profit"), rows)
    for order in told["orders"]:
        say(f"waits for the next opening price: {order['side']} {order['quantity']:g} {order['symbol']}")
    if told["intervals"]:
        paper_model.say_intervals(told["intervals"])
    paper_model.say_papers(of_model)


def status_of(study: Study) -> Line:
    """How a paper account stands, from its journal and its heartbeat."""
    folder = paper_folder(study)
    running, decided = is_running(folder), newest(folder, "decided")
    if decided is None and not running:
        raise _nothing_there(folder)
    beat = _heartbeat(folder)
    pulled = KillSwitch(folder).read()
    last: Line = decided or {"positions": [], "orders": [], "limits": []}
    equity, midnight = last.get("equity"), last.get("midnight_equity")
    fill = newest(folder, "filled")
    return {
        "running": running,
        "last_close_at": last.get("closed_at"),
        "lag_s": beat.get("lag_s") if running else None,
        "feed_is_stale": beat.get("stale") if running else None,
        "equity": equity,
        "cash": last.get("cash"),
        "today": equity - midnight if equity is not None and midnight is not None else None,
        "positions": last["positions"],
        "orders": last["orders"] if _still_wait(last, fill) else [],
        "limits": last["limits"],
        "intervals": last.get("intervals", []),
        "switch": pulled.words if pulled else "",
        "last_missed": last.get("circumstances", {}).get("missed", ""),
    }


def stop(study: Study) -> None:
    """Ask the session of a study to end, and wait for it; raise `DataError` where none runs."""
    folder = paper_folder(study)
    if not is_running(folder):
        raise _not_running(folder)
    (folder / STOP).touch()
    ends_at = time.monotonic() + STOPS_IN_S
    while is_running(folder) and time.monotonic() < ends_at:
        time.sleep(POLL_S)
    if is_running(folder):
        raise DataError(f"it has not ended within {STOPS_IN_S:g} s.", where=folder, remedy="End it by hand.")
    say("Stopped. Positions stay as they are; `longshort paper` goes on with them.")


def flatten(study: Study, *, rearm: bool = False) -> None:
    """Close all positions at the next opening price and open none; `rearm` lets trading go on."""
    folder = paper_folder(study)
    switch = KillSwitch(folder)
    if newest(folder, "begun") is None and not (folder / "journal.jsonl").exists():
        raise _nothing_there(folder)
    if rearm:
        switch.rearm(by="command")
        say("Re-armed: the next close is traded again.")
        return
    switch.pull("told to flatten", by="command")
    running = is_running(folder)
    when = (
        "at the next opening price"
        if running
        else "at the first opening price once `longshort paper` runs again"
    )
    say(f"All positions are closed {when}, and none is opened until `longshort flatten --rearm`.")


def _facts(told: Line) -> list[tuple[str, str]]:
    at = told["last_close_at"]
    lag = (
        ""
        if told["lag_s"] is None
        else f"{told['lag_s']:.0f} s" + (", stale" if told["feed_is_stale"] else "")
    )
    age = "" if at is None else f" ({ago(max(0.0, (SystemClock().now() - at) / SECOND))} ago)"
    return [
        ("session", "running" if told["running"] else "not running"),
        ("last close", "none yet" if at is None else format_instant(at) + age),
        ("behind the venue", lag or "not running"),
        ("equity", _number(told["equity"])),
        ("cash", _number(told["cash"])),
        ("today", "" if told["today"] is None else f"{told['today']:+,.2f}"),
        ("limits in force", ", ".join(told["limits"]) or "none"),
        ("switch", told["switch"] or "not pulled"),
        ("last decision", f"missed: {told['last_missed']}" if told["last_missed"] else "followed"),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"


def _still_wait(decided: Line, fill: Line | None) -> bool:
    return fill is None or fill["filled_at"] < decided.get("closed_at", 0)


def _heartbeat(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / HEARTBEAT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _nothing_there(folder: Path) -> DataError:
    return DataError(
        "this study has no paper account.", where=folder, remedy="Begin one with `longshort paper STUDY`."
    )


def _not_running(folder: Path) -> DataError:
    return DataError(
        "no paper session of this study is running.", where=folder, remedy="There is nothing to stop."
    )
