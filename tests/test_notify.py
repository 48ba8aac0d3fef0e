"""People are told, in time and once, and neither a dead route nor a secret gets in the way."""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from longshort.base.clock import DAY, HOUR, MINUTE, SECOND
from longshort.base.errors import DataError, LongshortError, MissingExtra, StudyError
from longshort.base.journal import (
    AccountSeen,
    Event,
    FileJournal,
    Filled,
    GraceEnded,
    LimitCleared,
    LimitReached,
    Liquidated,
    MemoryJournal,
    MessagesLost,
    OrderCut,
    Rearmed,
    RouteFailed,
    Session,
    Several,
    StoodAside,
)
from longshort.base.settings import Study, to_toml
from longshort.base.trading import NotifySettings
from longshort.connect.messages import Message, Severity, both_times, joined, render
from longshort.connect.notify import MOST_KEPT, MOST_QUEUED, Courier, Notifier
from longshort.connect.outbox import Outbox
from longshort.connect.routes import Route, Undelivered, _Hush, routes_of, secrets_of

from .webhook import Webhook, webhook

MIDNIGHT = 20_000 * DAY
BERLIN = ZoneInfo("Europe/Berlin")  # two hours ahead of UTC on 4 October 2024
TOKEN = "123456789:AAtopsecretAAtopsecretAAtopsecret"  # noqa: S105 nobody's
SECRET = TOKEN.replace(":", "")
HELLO = Message(severity=Severity.INFO, title="t", text="hello")


class Stopped:
    """A clock that stands until it is set."""

    def __init__(self, at: int = MIDNIGHT) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


class Sink:
    """A route that takes what it is given, unless it is told to refuse."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.refuses = False
        self.tried = 0

    def send(self, message: Message) -> None:
        self.tried += 1
        if self.refuses:
            raise Undelivered("not now.")
        self.taken.append(message)

    @property
    def route(self) -> Route:
        return Route(name="sink", send=self.send)


@pytest.fixture
def web() -> Iterator[Webhook]:
    with webhook() as server:
        yield server


def told(event: Event, zone: str = "UTC") -> str:
    message = render(event, MIDNIGHT, ZoneInfo(zone))
    assert message is not None
    return message.text


def until(true: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    ends = time.monotonic() + timeout_s
    while not true() and time.monotonic() < ends:
        time.sleep(0.01)
    return true()


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            LimitReached(0, "", "daily-loss", "flatten now", "equity 950.00, at midnight UTC 1,000.00"),
            "account: daily-loss, so flatten now (equity 950.00, at midnight UTC 1,000.00)",
        ),
        (
            GraceEnded(0, "BTCUSDT", "stale-feed", 0),
            "BTCUSDT: stale-feed since 1970-01-01 00:00Z did not pass, so positions are closed",
        ),
        (
            LimitCleared(0, "BTCUSDT", "stale-feed", 0),
            "BTCUSDT: stale-feed is over, it began 1970-01-01 00:00Z",
        ),
        (Rearmed(0, 0, ("drawdown",)), "account: re-armed after drawdown, trading goes on"),
        (
            Filled(0, "BTCUSDT", -0.25, 50_000.5, 12_500.125, 6.25, 31.5),
            "BTCUSDT: sold 0.25 at 50000.5, worth 12,500.12, fee 6.2500, realized +31.50",
        ),
        (Liquidated(0, "BTCUSDT", 1.0, 45_000.0, 5_000.0), "BTCUSDT: liquidated 1 at 45000, 5,000.00 lost"),
        (Session(0, "started", "9 coins"), "session started: 9 coins"),
        (StoodAside(0, "", "no forecast"), "account: stood aside, no forecast"),
        (MessagesLost(0, "queue", 3, "too many at once"), "3 messages were lost (queue: too many at once)"),
        (RouteFailed(0, "r", "down"), "route-failed: happened at 1970-01-01 00:00Z, route r, reason down"),
    ],
)
def test_an_event_is_told_in_one_line_with_units(event: Event, text: str) -> None:
    assert told(event) == f"2024-10-04 00:00Z {text}"


def test_times_are_told_in_utc_and_in_the_readers_own() -> None:
    assert (
        told(Session(0, "started", ""), "Europe/Berlin") == "2024-10-04 00:00Z (02:00 CEST) session started"
    )
    assert both_times(MIDNIGHT, ZoneInfo("UTC")) == "2024-10-04 00:00Z"


def test_what_closes_positions_is_an_alarm_and_what_waits_is_a_warning() -> None:
    now = render(LimitReached(0, "", "drawdown", "flatten now", ""), 0, BERLIN)
    waits = render(LimitReached(0, "", "stale-feed", "hold, flatten after the grace period", ""), 0, BERLIN)

    assert now is not None
    assert waits is not None
    assert (now.severity, waits.severity) == (Severity.ALARM, Severity.WARNING)


def test_what_is_no_news_is_not_told() -> None:
    assert render(OrderCut(0, "BTCUSDT", "leverage", 1.0, 0.5), 0, BERLIN) is None
    assert render(AccountSeen(0, 1.0, 1.0), 0, BERLIN) is None


def test_many_messages_become_one_that_every_route_takes() -> None:
    one = joined([Message(severity=Severity(i % 3), title="t", text="x" * 90) for i in range(100)])

    assert one.severity is Severity.ALARM
    assert one.title == "longshort: 100 messages"
    assert len(one.text) < 4_000
    assert joined([HELLO] * 50).text.endswith("... and 10 more: see the journal")


# ---------------------------------------------------------------- quiet hours and the summary


def test_quiet_hours_hold_back_what_is_less_than_an_alarm_and_send_it_as_one_message() -> None:
    outbox = Outbox(NotifySettings(zone="Europe/Berlin", quiet_from="22:00", quiet_until="07:00"))
    outbox.add(Session(0, "started", ""), MIDNIGHT)
    outbox.add(LimitReached(0, "", "stale-feed", "hold", ""), MIDNIGHT + MINUTE)
    outbox.add(LimitReached(0, "", "drawdown", "flatten now", "x"), MIDNIGHT + 2 * MINUTE)

    now = outbox.due(MIDNIGHT + 3 * MINUTE)
    before = outbox.due(MIDNIGHT + 5 * HOUR - 1)
    after = outbox.due(MIDNIGHT + 5 * HOUR)

    assert [m.text.split(" ", 3)[3].split(")", 1)[-1] for m in now] == [
        " account: drawdown, so flatten now (x)"
    ]
    assert before == ()
    assert len(after) == 1
    assert after[0].text.splitlines()[0] == "While it was quiet:"
    assert after[0].text.count("\n") == 2
    assert outbox.due(MIDNIGHT + 6 * HOUR) == ()


@pytest.mark.parametrize(
    ("begins", "ends", "hour", "quiet"),
    [
        ("22:00", "07:00", 23, True),
        ("22:00", "07:00", 6, True),
        ("22:00", "07:00", 7, False),
        ("01:00", "05:00", 4, True),
        ("01:00", "05:00", 5, False),
        ("01:00", "05:00", 0, False),
        ("", "", 3, False),
    ],
)
def test_quiet_hours_may_go_over_midnight(begins: str, ends: str, hour: int, quiet: bool) -> None:
    outbox = Outbox(NotifySettings(quiet_from=begins, quiet_until=ends))
    outbox.add(Session(0, "started", ""), MIDNIGHT + hour * HOUR)

    assert (outbox.due(MIDNIGHT + hour * HOUR) == ()) is quiet


def test_warnings_pass_where_only_what_is_less_than_a_warning_waits() -> None:
    outbox = Outbox(NotifySettings(quiet_from="00:00", quiet_until="23:59", quiet_below="warning"))
    outbox.add(LimitReached(0, "", "stale-feed", "hold", ""), MIDNIGHT)

    assert len(outbox.due(MIDNIGHT)) == 1


def test_the_daily_summary_comes_once_a_day_at_its_time_with_what_happened_since() -> None:
    outbox = Outbox(NotifySettings(zone="Europe/Berlin", summary_at="08:00"))
    outbox.due(MIDNIGHT)
    outbox.add(AccountSeen(0, 1_000.0, 0.0), MIDNIGHT)
    outbox.add(OrderCut(0, "BTCUSDT", "leverage", 1.0, 0.5), MIDNIGHT)
    outbox.add(AccountSeen(0, 1_050.0, 700.0), MIDNIGHT + HOUR)

    said = [outbox.due(MIDNIGHT + minutes * MINUTE) for minutes in (359, 360, 361, 1_799, 1_800)]

    assert [len(messages) for messages in said] == [0, 1, 0, 0, 1]
    assert said[1][0].text.splitlines() == [
        "2024-10-04 06:00Z daily summary",
        "equity 1,050.00 (+50.00, +5.00%), in positions 700.00",
        "order-cut: 1",
    ]
    assert said[4][0].text.splitlines()[1:] == [
        "equity 1,050.00 (+0.00, +0.00%), in positions 700.00",
        "nothing happened",
    ]


def test_what_waits_is_bounded_and_what_was_lost_is_told() -> None:
    outbox = Outbox(NotifySettings(quiet_from="00:00", quiet_until="23:59"))
    for _ in range(510):
        outbox.add(Session(0, "started", ""), MIDNIGHT)

    (digest,) = outbox.rest(MIDNIGHT)

    assert digest.title == "longshort: 501 messages"


# ---------------------------------------------------------------- routes that fail


def test_a_route_that_fails_is_tried_again_with_longer_and_longer_pauses_and_gets_all_as_one() -> None:
    sink, journal = Sink(), MemoryJournal()
    courier = Courier(sink.route, journal)
    courier.add(HELLO)
    sink.refuses = True
    tried = []
    for second in range(400):
        before = sink.tried
        courier.send(MIDNIGHT + second * SECOND)
        tried += [second] * (sink.tried - before)
    courier.add(HELLO)
    sink.refuses = False
    courier.send(MIDNIGHT + HOUR)

    pauses = [b - a for a, b in pairwise(tried)]
    assert 6 <= len(tried) <= 12
    assert all(b >= 0.6 * a for a, b in pairwise(pauses))
    assert pauses[-1] >= 32
    assert [m.text for m in sink.taken] == ["hello\nhello"]
    assert journal.events == [RouteFailed(MIDNIGHT, "sink", "not now.")]


def test_a_route_that_is_down_for_long_keeps_the_latest_and_counts_the_rest() -> None:
    sink, journal = Sink(), MemoryJournal()
    courier = Courier(sink.route, journal)
    for _ in range(MOST_KEPT + 7):
        courier.add(HELLO)
    courier.send(MIDNIGHT)

    assert journal.events == [MessagesLost(MIDNIGHT, "sink", 7, "too many waited")]


def test_what_a_dead_route_never_took_is_journaled_when_the_session_ends() -> None:
    sink, journal = Sink(), MemoryJournal()
    sink.refuses = True
    courier = Courier(sink.route, journal)
    courier.add(HELLO)

    courier.send(MIDNIGHT, last=True)

    assert courier.kept == 0
    assert journal.events[-1] == MessagesLost(MIDNIGHT, "sink", 1, "the session ended")


def test_one_dead_route_does_not_keep_another_from_telling(tmp_path: Path) -> None:
    dead, alive = Sink(), Sink()
    dead.refuses = True
    notifier = Notifier(NotifySettings(), MemoryJournal(), tmp_path, routes=[dead.route, alive.route])

    notifier.append(Session(0, "started", ""))

    assert until(lambda: bool(alive.taken))
    notifier.close()


def test_a_route_that_hangs_holds_up_nobody_and_what_overflows_is_counted(tmp_path: Path) -> None:
    entered, leave, taken = threading.Event(), threading.Event(), list[Message]()

    def hang(message: Message) -> None:
        entered.set()
        leave.wait(20)
        taken.append(message)

    journal = MemoryJournal()
    notifier = Notifier(NotifySettings(), journal, tmp_path, routes=[Route(name="slow", send=hang)])
    notifier.append(Session(0, "started", ""))
    assert entered.wait(10)

    began = time.monotonic()
    for _ in range(MOST_QUEUED + 25):
        notifier.append(Session(0, "x", ""))
    took = time.monotonic() - began
    leave.set()
    notifier.close(20.0)

    assert took < 1.0
    assert [(e.route, e.count) for e in journal.events if isinstance(e, MessagesLost)][:1] == [("queue", 25)]
    assert "25 messages were lost" in "".join(m.text for m in taken) or len(taken) >= 2


def test_a_journal_that_cannot_be_written_does_not_end_the_thread(tmp_path: Path) -> None:
    class Full:
        def append(self, event: Event) -> None:
            raise DataError("no space left on device.")

    sink = Sink()
    sink.refuses = True
    notifier = Notifier(NotifySettings(), Full(), tmp_path, routes=[sink.route])
    notifier.append(Session(0, "started", ""))
    assert until(lambda: sink.tried > 0)

    sink.refuses = False
    notifier.close()

    assert [m.text.endswith("session started") for m in sink.taken] == [True]


def test_an_event_that_cannot_be_told_does_not_end_the_thread(tmp_path: Path) -> None:
    sink = Sink()
    notifier = Notifier(NotifySettings(), MemoryJournal(), tmp_path, routes=[sink.route])

    notifier.append(GraceEnded(0, "BTCUSDT", "stale-feed", 10**30))
    notifier.append(Session(0, "started", ""))
    notifier.close()

    assert [m.text.endswith("session started") for m in sink.taken] == [True]


def test_without_routes_no_thread_is_begun(tmp_path: Path) -> None:
    before = threading.active_count()
    notifier = Notifier(NotifySettings(), MemoryJournal(), tmp_path)

    notifier.append(Session(0, "started", ""))
    notifier.close()

    assert threading.active_count() == before


def test_a_full_disk_is_still_told_to_people(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").mkdir()
    memory = MemoryJournal()

    with pytest.raises(OSError, match="directory"):
        Several(FileJournal(tmp_path / "journal.jsonl"), memory).append(Session(0, "started", ""))

    assert len(memory.events) == 1


# ---------------------------------------------------------------- real routes


def test_a_file_is_a_route_relative_to_the_run(tmp_path: Path) -> None:
    settings = NotifySettings(urls=["file:told/all.txt"])
    notifier = Notifier(settings, MemoryJournal(), tmp_path, clock=Stopped())

    notifier.append(Session(0, "started", "9 coins"))
    notifier.close()

    assert (tmp_path / "told" / "all.txt").read_text() == (
        "longshort: session\n2024-10-04 00:00Z session started: 9 coins\n\n"
    )


def test_a_webhook_on_this_machine_is_told(web: Webhook, tmp_path: Path) -> None:
    notifier = Notifier(NotifySettings(urls=[web.url(SECRET)]), MemoryJournal(), tmp_path, clock=Stopped())

    notifier.append(LimitReached(0, "", "daily-loss", "flatten now", "equity 950.00"))
    notifier.close()

    (body,) = web.bodies
    assert body["title"] == "longshort: limit-reached"
    assert body["message"] == "2024-10-04 00:00Z account: daily-loss, so flatten now (equity 950.00)"
    assert body["type"] == "failure"


def test_no_token_stands_in_an_error_a_journal_a_log_or_a_dump(
    web: Webhook, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    web.status = 403
    caplog.set_level(logging.DEBUG)
    study = Study.parse({"notify": {"urls": [web.url(SECRET), f"tgram://{TOKEN}/12315544"]}})
    settings = NotifySettings(urls=[web.url(SECRET)])
    journal = FileJournal(tmp_path / "journal.jsonl")
    notifier = Notifier(settings, journal, tmp_path)
    notifier.append(Session(0, "started", ""))
    assert until((tmp_path / "journal.jsonl").exists)
    notifier.close()

    said = [
        (tmp_path / "journal.jsonl").read_text(),
        caplog.text,
        *capfd.readouterr(),
        repr(study),
        to_toml(study),
        study.model_dump_json(),
        repr(notifier.__dict__),
    ]
    assert web.paths
    assert "route-failed" in said[0]
    assert [text for text in said if "topsecret" in text or "12315544" in text] == []


@pytest.mark.parametrize(
    ("url", "what"),
    [
        (f"nonsense://{TOKEN}/x", r"nonsense://\*\*\* is not an address"),
        (f"tgram://topsecret-not-a-token/{TOKEN[10:]}", r"tgram://\*\*\* is not an address"),
        (TOKEN, r"\*\*\* is not an address"),
        ("**********", "only stars"),
        ("file:", "is not an address"),
    ],
)
def test_an_address_that_is_none_is_refused_without_being_shown(
    url: str, what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    with pytest.raises(StudyError, match=what) as caught:
        routes_of([url], tmp_path)

    assert "topsecret" not in "".join(traceback.format_exception(caught.value)) + caplog.text


@pytest.mark.parametrize("bad", [{"url": TOKEN}, [f"json://{TOKEN}", 3], 7])
def test_settings_that_are_no_addresses_are_refused_without_being_shown(bad: object) -> None:
    with pytest.raises(StudyError, match=r"notify\.urls") as caught:
        Study.parse({"notify": {"urls": bad}})

    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    "settings", [{"zone": "Mars/X"}, {"quiet_from": "25:00", "quiet_until": "07:00"}, {"quiet_from": "22:00"}]
)
def test_times_that_make_no_sense_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(StudyError, match="notify"):
        Study.parse({"notify": settings | {"urls": f"json://{TOKEN}"}})


def test_without_apprise_the_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longshort.connect.routes.find_spec", lambda name: None)

    with pytest.raises(MissingExtra, match=r'pip install "longshort\[notify\]"') as caught:
        routes_of([f"tgram://{TOKEN}/1"], tmp_path)

    assert "topsecret" not in str(caught.value)
    assert len(routes_of(["file:a.txt"], tmp_path)) == 1


def test_every_part_of_an_address_counts_as_a_secret() -> None:
    assert {"user", "p ss", "p%20ss", "key", "AAA"} <= set(
        secrets_of("mailto://user:p%20ss@example.org/key?to=AAA")
    )
    assert issubclass(Undelivered, LongshortError)


def test_a_reason_that_quotes_the_address_is_told_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"json://127.0.0.1:9/{TOKEN}"

    class Server:
        def notify(self, **_: object) -> bool:
            logging.getLogger("apprise").warning("no answer from http://127.0.0.1:9/%s", TOKEN)
            return False

    monkeypatch.setattr("longshort.connect.routes._server", lambda url: Server())
    (route,) = routes_of([url], tmp_path)
    logging.getLogger("apprise").addFilter(_Hush())

    with pytest.raises(Undelivered, match="no answer from") as caught:
        route.send(HELLO)

    assert "topsecret" not in str(caught.value)
