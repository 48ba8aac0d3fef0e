"""`signals`: what the policy would hold, told to people when it changes, each change once.

The state of the policy and what was said last are on record before anything is sent: a crash may lose a message, it
never sends one twice. What closed while nobody looked is caught up with in silence, and only what is still true is
said. A thread of its own sends: no route holds up a close.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from longshort._commands.following import venue_of
from longshort._commands.record import Line, Record, open_record
from longshort._commands.terminal import emit_json, note, say
from longshort._commands.watch import Watch, folder_of, steering_of, trained_model
from longshort.base.clock import SECOND, Clock, Interval, format_instant
from longshort.base.errors import DataError
from longshort.base.files import jsonable
from longshort.base.journal import Event, FileJournal, MessagesLost, RouteFailed, Several
from longshort.base.settings import Study
from longshort.connect.exchange import Exchange
from longshort.connect.messages import Signaled
from longshort.connect.notify import Notifier
from longshort.data.bars import Bars
from longshort.models.forecast import Forecast
from longshort.policy.advice.signal import Signal, signals_of
from longshort.policy.exposure import Wishes
from longshort.policy.steering import Steering
from longshort.study.badge import Badge, badge_of
from longshort.study.following import Following
from longshort.study.market import load_bars

RECORD, JOURNAL = "signals.jsonl", "journal.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """At every close or once, for how many closes, to which file, and as what."""

    follow: bool = False
    bars: int = 0
    to: Path | None = None
    as_json: bool = False


class Desk:
    """What was said last, and whom it is said to; `leave` it when all is said."""

    def __init__(
        self, study: Study, record: Record, steering: Steering, asked: Asked, clock: Clock | None = None
    ) -> None:
        self._study, self._record, self._asked = study, record, asked
        self.steering = steering
        self.said = np.zeros(len(steering.symbols))
        if asked.to:
            _append(asked.to, [])  # where that fails nothing has been said yet
        folder = record.path.parent
        troubles = Several(FileJournal(folder / JOURNAL), _Aloud())
        self._notifier = Notifier(study.notify, troubles, folder, clock=clock)
        if record.last:
            self.said = np.array(record.last[-1]["said"], dtype=np.float64)
            steering.restore({name: _array(v) for name, v in record.last[-1]["steering"].items()})

    def close(self, forecast: Forecast, wishes: Wishes, row: Bars, *, late: bool) -> list[Signal]:
        """Write a close down and say what has changed; of a late one nothing is said."""
        held, horizon = self.steering.held, self._study.policy.horizon_bars
        signals = [] if late else signals_of(self.said, held, wishes, forecast, row, horizon)
        for signal in signals:
            self.said[row.symbols.index(signal.symbol)] = signal.target
        state = {name: part.tolist() for name, part in self.steering.state().items()}
        line: Line = {
            "closed_at": _iso(int(row.closed_at[-1])),
            "said": self.said.tolist(),
            "steering": state,
            "signals": [signal.name for signal in signals],
        }
        self._record.append([line])
        self._tell(signals, row)
        return signals

    def leave(self) -> None:
        """Send what waits to whoever is named under [notify], quiet hours or not: nobody sends it later."""
        self._notifier.close()

    def _tell(self, signals: Sequence[Signal], row: Bars) -> None:
        badge = badge_of(self._study, self._study.policy.horizon_bars)
        plain = [signal_json(signal, badge, self._study) for signal in signals]
        if self._asked.to and plain:
            _append(self._asked.to, plain)
        for signal, fields in zip(signals, plain, strict=True):
            text = signal_text(signal, badge, row.interval, self._study)
            emit_json(fields) if self._asked.as_json else say(text)
            self._notifier.append(Signaled(signal.closed_at, signal.symbol, text))
        sys.stdout.flush()


class _Aloud:
    """Says on the terminal what the notifier has trouble with."""

    def append(self, event: Event) -> None:
        match event:
            case RouteFailed():
                note(f"{event.route} does not take messages, and is tried again: {event.reason}")
            case MessagesLost():
                note(f"{event.route}: {event.count} message(s) were lost, {event.reason}.")
            case _:
                pass


def signals(study: Study, asked: Asked) -> None:
    """Say what to hold now; or, following, whenever it changes."""
    if not asked.follow:
        once(study, asked)
        return

    async def session() -> None:
        async with Exchange(venue_of(study)) as exchange:
            await follow_on(Watch(study, exchange), asked)

    try:
        asyncio.run(session())
    except KeyboardInterrupt:
        note("Ended; the same command goes on where this one stopped.")
        raise


def once(study: Study, asked: Asked) -> list[Signal]:
    """Catch up with the bars at hand, and say what has changed since the last time."""
    bars = load_bars(study)
    trained = trained_model(study, bars)
    with open_record(folder_of(study, trained, "signals") / RECORD) as record:
        desk = Desk(study, record, steering_of(study, bars), asked)
        begin = len(bars.until(record.last_at)) if record.last_at is not None else len(bars) - 1
        if begin == len(bars):
            note(f"Nothing new since {format_instant(int(bars.closed_at[-1]))}.")
            return []
        following = Following(trained, desk.steering, bars[:begin])
        said: list[Signal] = []
        try:
            for t in range(begin, len(bars)):
                row = bars[t : t + 1]
                said = desk.close(*following.step(row), row, late=t + 1 < len(bars))
        finally:
            desk.leave()
        if not said:
            note(f"No change at {format_instant(int(bars.closed_at[-1]))}: {_standing(desk)}.")
        return said


async def follow_on(watch: Watch, asked: Asked) -> None:
    """Say what changes at each close, until cancelled or so many closes."""
    await watch.prepare()
    with open_record(watch.folder("signals") / RECORD) as record:
        steering = steering_of(watch.study, watch.bars)
        desk = Desk(watch.study, record, steering, asked, watch)
        note(f"Following {watch.wish.venue}: a signal when the wish changes; now {_standing(desk)}.")
        seen_closes = 0
        try:
            async with aclosing(watch.closes(record.last_at, steering)) as closes:
                async for seen in closes:
                    desk.close(seen.forecast, seen.wishes, seen.row, late=seen.is_late)
                    seen_closes += 1
                    if seen_closes == asked.bars:
                        break
        finally:
            desk.leave()


def signal_text(signal: Signal, badge: Badge, interval: Interval, study: Study) -> str:
    """A signal as a person reads it on a telephone."""
    equity = study.trading.starting_balance
    length = Interval(signal.horizon_bars * interval.ns)
    worth = abs(signal.target) * equity
    size = (
        f"{abs(signal.target):.1%} of equity ({worth:,.0f} of {equity:,.0f})" if signal.target else "nothing"
    )
    was = f", was {signal.before:+.1%}" if signal.before else ""
    exits = [
        f"{name} {at:,.6g}" for name, at in (("stop", signal.stop), ("take", signal.take)) if np.isfinite(at)
    ]
    believed = (
        f"P {signal.confidence:.1%}, expected {signal.expected:+.2%}"
        if np.isfinite(signal.expected)
        else "no forecast"
    )
    return "\n".join(
        [
            f"{signal.symbol} {signal.action.upper()} {signal.side.upper()}: hold {size}{was}",
            f"entry about {signal.price:,.6g}, {', '.join(exits) or 'no stop set'}, horizon {length}",
            f"{believed}; round trip {study.costs.record.round_trip:.2%}; verdict on profit: {badge.word}",
            f"decided at the close of {format_instant(signal.closed_at)}",
        ]
    )


def signal_json(signal: Signal, badge: Badge, study: Study) -> dict[str, Any]:
    """A signal as a program reads it."""
    more = {
        "id": signal.name,
        "side": signal.side,
        "closed_at": _iso(signal.closed_at),
        "round_trip": study.costs.record.round_trip,
        "verdict": badge.word,
    }
    return asdict(signal) | more


def _standing(desk: Desk) -> str:
    held = [f"{s} {h:+.1%}" for s, h in zip(desk.steering.symbols, desk.said.tolist(), strict=True) if h]
    return ", ".join(held) or "flat everywhere"


def _append(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(jsonable(line), allow_nan=False) + "\n" for line in lines))
    except OSError as error:
        raise DataError(f"it cannot be written: {error.strerror}.", where=path) from error


def _array(values: Any) -> np.ndarray:
    """Numbers of a JSON file, in which NaN is null."""
    return np.array(values if not isinstance(values, list) else [np.nan if v is None else v for v in values])


def _iso(instant: int) -> str:
    return datetime.fromtimestamp(instant // SECOND, UTC).isoformat()
