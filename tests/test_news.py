"""News: from which instant on it may be used, whatever state it arrives in."""

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshort._commands import news as commands
from longshort.base.clock import DAY, HOUR, MINUTE, SECOND, parse_instant
from longshort.base.errors import DataError, LongshortError, MissingExtra, StudyError
from longshort.connect import feeds as network
from longshort.connect.feeds import DEFAULT_FEEDS, Pace, parse_feed
from longshort.data.news.bodies import read_feed, read_json
from longshort.data.news.fetch import Fetched, fetch_news
from longshort.data.news.files import import_news
from longshort.data.news.items import Headline, Look, add_headlines, as_of, empty_news, plain_text, when_known
from longshort.data.news.rows import Reading
from longshort.data.news.store import NewsStore, news_digest, read_news
from longshort.data.news.times import find_zone, read_stamp
from tests.feeds import FeedServer, HandPace, Page, item, rss

NOON = parse_instant("2024-06-03T12:00Z")
FEED = "rss:https://decrypt.co/feed"
TEN = "Mon, 03 Jun 2024 10:00:00 GMT"
ELEVEN = "Mon, 03 Jun 2024 11:00:00 GMT"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FeedServer]:
    with FeedServer(tmp_path, monkeypatch) as served:
        yield served


@pytest.fixture
def pace() -> HandPace:
    return HandPace(NOON)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("LONGSHORT_LAKE", raising=False)
    return tmp_path / "lake"


def fetch(lake: Path, pace: HandPace, *sources: str) -> list[Fetched]:
    feeds = [parse_feed(text) for text in (sources or (f"decrypt={FEED}",))]
    return fetch_news(feeds, lake, pace=Pace(clock=pace, sleep=pace.sleep))


def told(lake: Path, source: str = "decrypt") -> list[tuple[str, str]]:
    """Text and `known_at` of each row, in the order in which rows came in."""
    rows = NewsStore(lake).read(source)
    return list(zip(rows["text"], rows["known_at"].dt.strftime("%m-%d %H:%M"), strict=True))


def at(instant: int) -> str:
    return datetime.fromtimestamp(instant / SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S")


def stamped(text: str, **options: str) -> str:
    """A stamp as its form and the stretch it can lie in."""
    stamp = read_stamp(text, **options)  # type: ignore[arg-type]
    return f"{stamp.form} {at(stamp.earliest_at)} .. {at(stamp.latest_at)}" if stamp else "nothing"


# What a source states of time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mon, 03 Jun 2024 10:00:00 GMT", "2024-06-03 10:00:00"),
        ("Mon, 03 Jun 2024 10:00:00 -0000", "2024-06-03 10:00:00"),
        ("3 Jun 24 10:00 EST", "2024-06-03 15:00:00"),
        ("2024-06-03T10:00:00+02:00", "2024-06-03 08:00:00"),
        ("2024-06-03 10:00:00 +0000 UTC", "2024-06-03 10:00:00"),
        ("2024-06-03T10:00:00.999Z", "2024-06-03 10:00:00"),
        ("June 3rd, 2024 at 10:00 pm PDT", "2024-06-04 05:00:00"),
        ("Mon, 3 June 2024 12:30 am GMT+5", "2024-06-02 19:30:00"),
        ("1717408800", "2024-06-03 10:00:00"),
        ("1717408800123", "2024-06-03 10:00:00"),
        ("1717408800.0", "2024-06-03 10:00:00"),
    ],
)
def test_a_time_with_a_zone_is_one_instant(text: str, expected: str) -> None:
    assert stamped(text) == f"time {expected} .. {expected}"


@pytest.mark.parametrize(
    "text",
    [
        "2024-06-03 10:00",
        "2016/6/29 15:07:41",
        "Mon, 03 Jun 2024 10:00:00",
        "03 Jun 2024 10:00 IST",
        "Jun 3, 2024 9:05 AM",
    ],
)
def test_a_time_without_a_zone_that_means_one_thing_can_be_that_of_any_place_on_earth(text: str) -> None:
    stamp = read_stamp(text)

    assert stamp is not None
    assert stamp.form == "zoneless"
    assert stamp.latest_at - stamp.earliest_at == 26 * HOUR


def test_feedparsers_own_reading_of_a_date_that_it_takes_for_another_month_is_not_used() -> None:
    body = rss(item("Up", "2016/6/29 15:07:41"))

    (headline,) = read_feed(body, Reading(), where="x").items

    assert headline.published is not None
    assert at(headline.published.latest_at) == "2016-06-30 03:07:41"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-06-03", "day 2024-06-02 10:00:00 .. 2024-06-04 12:00:00"),
        ("Mon, 03 Jun 2024", "day 2024-06-02 10:00:00 .. 2024-06-04 12:00:00"),
        ("Mon, 03 Jun 2024 00:00:00 GMT", "day 2024-06-03 00:00:00 .. 2024-06-04 00:00:00"),
        ("2024-06-03T00:00:00-05:00", "day 2024-06-03 05:00:00 .. 2024-06-04 05:00:00"),
        ("20240603T101500Z", "day 2024-06-02 10:00:00 .. 2024-06-04 12:00:00"),
    ],
)
def test_a_date_and_midnight_are_a_whole_day_of_the_stated_zone_or_of_all_the_earth(
    text: str, expected: str
) -> None:
    assert stamped(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2024", "45446", "03/06/2024", "2024-13-01", "2024-02-30", "2024-06-03T25:00Z", "9999-01-01",
     "1969-12-31T10:00Z", "99999999999999999999", "Jun 3, 2024 22:00 PM GMT", "20240603101500", "nan"],
)  # fmt: skip
def test_what_is_no_time_or_could_be_two_is_none(text: str) -> None:
    assert stamped(text) == "nothing"


@given(
    moment=st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 a wall clock
    offset_minutes=st.integers(-12 * 4, 14 * 4).map(lambda quarters: 15 * quarters),
    form=st.sampled_from(
        ["%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M:%S", "%a, %d %b %Y %H:%M:%S", "%b %d, %Y %I:%M:%S %p"]
    ),
)
def test_whatever_is_left_out_of_a_stamp_never_makes_it_earlier_and_the_truth_lies_within(
    moment: datetime, offset_minutes: int, form: str
) -> None:
    aware = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset_minutes)))
    whole = f"{aware.strftime(form)} {aware.strftime('%z')}"
    texts = [whole, aware.strftime(form), aware.strftime("%Y-%m-%d")]
    truth = int(aware.timestamp()) * SECOND

    stamps = [read_stamp(text) for text in texts]

    assert [s is not None and s.earliest_at <= truth <= s.latest_at for s in stamps] == [True] * 3
    assert [s.latest_at for s in stamps if s] == sorted(s.latest_at for s in stamps if s)


def test_an_hour_that_occurs_twice_or_never_is_read_as_the_later() -> None:
    berlin = ZoneInfo("Europe/Berlin")

    twice = read_stamp("2024-10-27 02:30", zone=berlin)
    never = read_stamp("2024-03-31 02:30", zone=berlin)

    assert [at(s.latest_at) for s in (twice, never) if s] == ["2024-10-27 01:30:00", "2024-03-31 01:30:00"]


def test_the_users_zone_serves_only_what_names_none() -> None:
    zone = find_zone("America/New_York")

    assert stamped("2024-06-03 10:00", zone=zone) == "time 2024-06-03 14:00:00 .. 2024-06-03 14:00:00"  # type: ignore[arg-type]
    assert stamped("2024-06-03", zone=zone) == "day 2024-06-03 04:00:00 .. 2024-06-04 04:00:00"  # type: ignore[arg-type]
    assert stamped("2024-06-03 10:00Z", zone=zone) == "time 2024-06-03 10:00:00 .. 2024-06-03 10:00:00"  # type: ignore[arg-type]


def test_the_user_may_say_that_midnight_is_a_time_or_that_every_time_is_a_day() -> None:
    midnight, ten = "2024-06-03T00:00Z", "2024-06-03T10:00Z"

    assert stamped(midnight, stamped="time") == "time 2024-06-03 00:00:00 .. 2024-06-03 00:00:00"
    assert stamped(ten, stamped="day") == "day 2024-06-03 00:00:00 .. 2024-06-04 00:00:00"


def test_an_unknown_zone_is_refused_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"'Europe/Berlni' is not a time zone. Did you mean Europe/Berlin\?"):
        find_zone("Europe/Berlni")


# The rule of time


@pytest.mark.parametrize(
    ("published", "fetched", "asked", "edit", "known"),
    [
        ("2024-06-03T11:50Z", True, "", False, "2024-06-03 12:00:00"),  # seen as it came: when we saw it
        ("2024-05-01T10:00Z", True, "", False, "2024-05-01 11:00:00"),  # before anybody asked: its word, and an hour
        ("2024-06-01T10:00Z", True, "2024-05-31", False, "2024-06-01 11:00:00"),  # out while nobody asked
        ("2024-05-30T10:00Z", True, "2024-05-31", False, "2024-06-03 12:00:00"),  # was not there when we asked
        ("2024-05-01T10:00Z", True, "", True, "2024-06-03 12:00:00"),  # an edit: when we saw it
        ("2024-05-01T10:00Z", False, "", False, "2024-05-01 11:00:00"),  # from a file: its word, and an hour
        ("2024-06-03T11:50Z", False, "", False, "2024-06-03 12:00:00"),  # from a file, minutes old: we have it now
        ("2024-06-03T13:00Z", True, "", False, "2024-06-03 13:00:00"),  # from the future: not before it is out
        ("2024-06-03T13:00Z", False, "", False, "2024-06-03 13:00:00"),
        ("2024-06-03", True, "", False, "2024-06-04 12:00:00"),  # a date of no zone: when that day is over everywhere
        ("2024-05-01", False, "", False, "2024-05-02 12:00:00"),
        ("2024-05-01T00:00Z", False, "", False, "2024-05-02 00:00:00"),  # a date of UTC: the next day
        ("2024-05-01 10:00", False, "", False, "2024-05-01 23:00:00"),  # no zone: the latest reading, and an hour
        ("2024-06-03 11:00", True, "", False, "2024-06-03 12:00:00"),  # no zone, but we have it: when we saw it
        ("2024-06-05 11:00", True, "", False, "2024-06-05 23:00:00"),  # no zone, future in every zone
        ("", True, "", False, "2024-06-03 12:00:00"),  # no time at all: when we saw it
        ("", False, "", False, "2024-06-03 12:00:00"),
    ],
)  # fmt: skip
def test_the_rule_of_time(published: str, fetched: bool, asked: str, edit: bool, known: str) -> None:
    look = Look(ingested_at=NOON, fetched=fetched, asked_at=parse_instant(asked) if asked else None)

    result = when_known(Headline(text="x", published=read_stamp(published)), look, is_edit=edit)

    assert at(result.known_at) == known


def test_a_text_that_was_edited_later_is_known_only_from_its_edit() -> None:
    edited = Headline(
        text="x", published=read_stamp("2024-05-01T10:00Z"), edited=read_stamp("2024-05-07T10:00Z")
    )

    known = when_known(edited, Look(ingested_at=NOON))

    assert (at(known.published_at or 0), at(known.known_at)) == ("2024-05-01 10:00:00", "2024-05-07 11:00:00")


TIMES = st.one_of(
    st.none(),
    st.integers(-40, 10).map(lambda hours: read_stamp((NOON + hours * HOUR) // SECOND)),
    st.integers(-40, 10).map(lambda hours: read_stamp(at(NOON + hours * HOUR))),
    st.integers(0, 6).map(lambda days: read_stamp(date(2024, 5, 30) + timedelta(days=days))),
)
HEADLINES = st.builds(
    Headline,
    text=st.sampled_from("abcd"),
    published=TIMES,
    edited=st.one_of(st.none(), TIMES),
    id=st.sampled_from(["", "1", "2", "3"]),
    value=st.one_of(st.none(), st.just(1.0)),
)
BATCHES = st.lists(
    st.tuples(st.booleans(), st.integers(1, 50), st.lists(HEADLINES, max_size=6)), min_size=1, max_size=5
)


def histories(batches: list[tuple[bool, int, list[Headline]]]) -> Iterator[tuple[pl.DataFrame, Look]]:
    """What one source holds after each of several looks at it, which are hours apart."""
    rows, now, asked_at = empty_news(), NOON, None
    for fetched, hours, items in batches:
        now += hours * HOUR + 1
        look = Look(ingested_at=now, fetched=fetched, asked_at=asked_at)
        rows = add_headlines(rows, items, source="s", look=look).rows
        asked_at = now if fetched else asked_at
        yield rows, look


@given(BATCHES)
def test_nothing_stands_twice_or_is_known_before_it_is_out_nor_unmarked_before_it_was_seen(
    batches: list[tuple[bool, int, list[Headline]]],
) -> None:
    *_, (rows, _) = histories(batches)

    assert rows.select("id", "text", "value").is_unique().all()
    assert rows.filter(pl.col("known_at") < pl.col("published_at")).is_empty()
    assert rows.filter(~pl.col("backfilled") & (pl.col("known_at") < pl.col("ingested_at"))).is_empty()
    assert rows.filter(pl.col("backfilled") & pl.col("published_at").is_null()).is_empty()
    days = rows.filter(pl.col("stated") == "day")
    assert (days["known_at"].dt.date() > days["published_at"].dt.date()).all()


@given(BATCHES)
def test_more_items_never_change_a_row_nor_what_our_own_eyes_knew_of_the_past(
    batches: list[tuple[bool, int, list[Headline]]],
) -> None:
    states = list(histories(batches))

    for (before, look), (after, _) in pairwise(states):
        seen = after.filter(~pl.col("backfilled"))
        assert after.head(len(before)).equals(before)
        assert as_of(seen, look.ingested_at).equals(
            as_of(before.filter(~pl.col("backfilled")), look.ingested_at)
        )


@given(BATCHES, st.integers(0, 100))
def test_items_that_come_again_add_nothing(
    batches: list[tuple[bool, int, list[Headline]]], later_hours: int
) -> None:
    *_, (rows, look) = histories(batches)
    again = replace(look, ingested_at=look.ingested_at + later_hours * HOUR)

    for _, _, items in batches:
        gathered = add_headlines(rows, items, source="s", look=again)
        assert (gathered.added, gathered.repeated) == (0, len(items))


def test_an_edited_item_keeps_its_first_wording_until_the_edit_was_seen() -> None:
    first = Headline(text="Up", published=read_stamp("2024-06-03T11:59Z"), id="1")
    look = Look(ingested_at=NOON, fetched=True)
    later = Look(ingested_at=NOON + 2 * HOUR, fetched=True, asked_at=NOON)

    rows = add_headlines(empty_news(), [first], source="s", look=look).rows
    rows = add_headlines(rows, [replace(first, text="Down")], source="s", look=later).rows

    views = [as_of(rows, NOON + minutes * MINUTE)["text"].to_list() for minutes in (-1, 0, 119, 120)]
    assert views == [[], ["Up"], ["Up"], ["Down"]]


def test_an_id_that_a_broken_feed_gives_to_everything_hides_nothing() -> None:
    items = [Headline(text=text, id="guid") for text in ("a", "b", "c")]
    look = Look(ingested_at=NOON, fetched=True)

    rows = add_headlines(empty_news(), items, source="s", look=look).rows
    again = add_headlines(rows, items[1:2], source="s", look=look)

    assert as_of(rows, NOON)["text"].sort().to_list() == ["a", "b", "c"]
    assert again.added == 0


def test_part_of_a_millisecond_never_makes_an_item_known_early() -> None:
    items = [Headline(text="x", published=read_stamp("2024-05-01T10:00:00.000001Z"))]

    rows = add_headlines(empty_news(), items, source="s", look=Look(ingested_at=NOON)).rows

    assert rows["known_at"].dt.epoch("ms")[0] % 1_000 == 1


# Bodies of feeds, in the state in which they come


def test_tags_entities_and_space_become_plain_text() -> None:
    text = plain_text(
        "A &amp; B  <b>bo</b>ld", "<p>One</p><p>two<br>three</p><script>x()</script>", "5 < 6", "\ud800\x00z"
    )

    assert text == "A & B bold One two three 5 < 6 ?z"


@given(st.text(alphabet=st.sampled_from("<>&;/!-[]aA \n\x00\ud800script"), max_size=80))
def test_no_text_is_too_odd_to_be_cleaned(text: str) -> None:
    cleaned = plain_text(text)

    assert cleaned.encode() is not None
    assert cleaned == " ".join(cleaned.split())


ATOM = b"""<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>t</title>
<entry><id>urn:1</id><title type="html">x &amp;lt; y</title><link href="https://decrypt.co/1"/>
<updated>2024-06-02T10:00:00Z</updated><published>2024-06-01T10:00:00Z</published>
<content type="html">&lt;p&gt;more&lt;/p&gt;</content></entry></feed>"""
RDF = b"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/"><item rdf:about="https://decrypt.co/2"><title>Rise</title>
<link>https://decrypt.co/2</link><dc:date>2024-06-01T12:00:00+02:00</dc:date></item></rdf:RDF>"""


def test_atom_gives_its_text_its_link_and_the_later_of_its_times() -> None:
    (headline,) = read_feed(ATOM, Reading(), where="x").items

    known = when_known(headline, Look(ingested_at=NOON + 90 * DAY))
    assert (headline.text, headline.url, headline.id) == ("x < y more", "https://decrypt.co/1", "urn:1")
    assert (at(known.published_at or 0), at(known.known_at)) == ("2024-06-01 10:00:00", "2024-06-02 11:00:00")


def test_rdf_gives_its_time_in_its_zone() -> None:
    (headline,) = read_feed(RDF, Reading(), where="x").items

    assert headline.published is not None
    assert (headline.text, at(headline.published.latest_at)) == ("Rise", "2024-06-01 10:00:00")


@pytest.mark.parametrize(
    ("body", "texts", "remark"),
    [
        (rss(item("a&nbsp;b", TEN)), ["a b"], "faulty"),  # an entity that XML does not have
        (rss(item("AT&T up", TEN)), ["AT&T up"], "faulty"),  # a bare ampersand
        (b"\xef\xbb\xbf \n" + rss(item("a", TEN)), ["a"], "faulty"),  # a mark and space before the declaration
        (rss(item("\u00fcber", TEN)).replace(b"'1.0'", b"'1.0' encoding='us-ascii'"), ["\u00fcber"], ""),  # a lie
        (rss(item("\u00fcber")).decode().encode("latin-1"), ["\u00fcber"], ""),  # not the UTF-8 that it should be
        (rss(item("a", TEN), item("", TEN), "<item/>"), ["a"], ""),  # items without anything to read
        (rss(item("a"), item("b", "soon")), ["a", "b"], ""),  # no time, and one that is none
        (rss(item("<![CDATA[<b>a</b> &amp; b]]>", TEN)), ["a & b"], ""),
        (rss(item("a", TEN)).replace(b"</channel></rss>", b""), ["a"], "faulty"),
        (rss(item("a", TEN), item("b", TEN))[:-25], ["a"], "breaks off: whole items were taken, 1 in number"),
        (rss(), [], ""),
    ],
)  # fmt: skip
def test_a_broken_feed_gives_what_is_whole_and_says_that_it_is_broken(
    body: bytes, texts: list[str], remark: str
) -> None:
    parsed = read_feed(body, Reading(), where="x")

    assert [i.text for i in parsed.items] == texts
    assert remark in parsed.remark
    assert bool(remark) == bool(parsed.remark)


@given(st.integers(0, 1_000))
@settings(max_examples=150)
def test_a_feed_that_is_cut_anywhere_never_gives_half_an_item(cut: int) -> None:
    titles = ["Bitcoin falls to 60,000", "Ether rises", "Nothing happened", "A ]] b &gt; c", "The end"]
    body = rss(
        *(item(title, TEN, guid=str(n), link=f"https://decrypt.co/{n}") for n, title in enumerate(titles))
    )
    whole = read_feed(body, Reading(), where="x").items

    try:
        items = read_feed(body[: min(cut, len(body))], Reading(), where="x").items
    except DataError:
        items = ()

    assert items == whole[: len(items)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the answer is empty"),
        (b"<!DOCTYPE html><html><body>Just a moment...</body></html>", "a web page, not a feed"),
        (b'{"items": []}', "JSON, not a feed. Name it as json: instead."),
        (b"\x89PNG\r\n\x1a\n", "neither RSS nor Atom"),
        (b"<opml version='2.0'><body/></opml>", "neither RSS nor Atom"),
    ],
)
def test_what_is_no_feed_is_refused_in_one_sentence(body: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_feed(body, Reading(), where="x")


def test_a_body_that_names_a_file_does_not_open_it(tmp_path: Path) -> None:
    path = tmp_path / "secret.xml"
    path.write_bytes(rss(item("secret", TEN)))

    with pytest.raises(DataError, match="neither RSS nor Atom"):
        read_feed(str(path).encode(), Reading(), where="x")


TELEGRAM = {
    "name": "Signals",
    "type": "public_channel",
    "id": 77,
    "messages": [
        {"id": 1, "type": "service", "date": "2024-05-01T12:00:00", "action": "create_channel"},
        {
            "id": 2, "type": "message", "date": "2024-05-01T12:00:00", "date_unixtime": "1714557600", "from": "S",
            "text": ["Buy ", {"type": "bold", "text": "BTC"}, " now"],
            "text_entities": [
                {"type": "plain", "text": "Buy "}, {"type": "bold", "text": "BTC"}, {"type": "plain", "text": " now"}
            ],
        },
        {
            "id": 3, "type": "message", "date_unixtime": "1714557660", "edited_unixtime": "1714917600",
            "text": "I said sell", "text_entities": [],
        },
        {"id": 4, "type": "message", "date": "2024-05-01T12:05:00", "text": "an old export", "photo": "p.jpg"},
        {"id": 5, "type": "message", "date_unixtime": "1714557720", "text": "", "photo": "p.jpg"},
    ],
}  # fmt: skip


@pytest.mark.parametrize("export", [TELEGRAM, {"about": "all", "chats": {"list": [TELEGRAM]}}])
def test_a_telegram_export_gives_messages_known_from_their_last_edit(
    export: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(export))

    imported = import_news([path], tmp_path, "signals", now=NOON)

    rows = NewsStore(tmp_path).read("signals")
    assert (imported.added, imported.skipped) == (3, 1)
    assert rows["id"].to_list() == ["77/2", "77/3", "77/4"]
    assert told(tmp_path, "signals") == [
        ("Buy BTC now", "05-01 11:00"),
        ("I said sell", "05-05 15:00"),  # its first wording is lost; this one is of the fifth
        ("an old export", "05-02 01:05"),  # local time of a machine nobody knows
    ]


def test_a_reddit_listing_and_other_json_are_read() -> None:
    listing = {"kind": "Listing", "data": {"children": [{"kind": "t3", "data": {
        "name": "t3_1", "title": "Up?", "selftext": "yes", "created_utc": 1717408800.0, "edited": 1717409800.0,
        "permalink": "/r/Bitcoin/1"}}]}}  # fmt: skip
    entry = {"id": "1", "content_text": "Down", "date_published": "2024-06-03T10:00:00Z"}
    json_feed = {"version": "https://jsonfeed.org/version/1.1", "items": [entry]}

    (post,) = read_json(json.dumps(listing).encode(), Reading(), where="x").items
    (told,) = read_json(json.dumps(json_feed).encode(), Reading(), where="x").items

    assert (post.text, post.url, post.id) == ("Up? yes", "https://www.reddit.com/r/Bitcoin/1", "t3_1")
    assert post.edited is not None
    assert told.published is not None
    assert (told.text, told.id, at(told.published.latest_at)) == ("Down", "1", "2024-06-03 10:00:00")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>no</html>", "XML or a web page, not JSON"),
        (b'{"items": [{"title": "a"', "not JSON. Look at line 1."),
        (b'{"error": "limit"}', "no list of items"),
        (b"[1, 2]", "no list of items"),
        (b'{"messages": []}', "the export holds no messages"),
        (b'{"kind": "Listing", "data": 5}', "lacks what such files hold"),
        (b'{"name": "Fear and Greed Index", "data": []}', "gave no figures"),
        (b'[{"title": "a", "published": "soon"}]', "row 1: 'soon' is not a time"),
        (
            b'[{"when": "2024", "title": "a"}]',
            "no column holds times: they are when, title. Name it with --time.",
        ),
        (b'[{"date": "2024-06-03", "mood": "a"}]', "no column holds text or figures"),
    ],
)
def test_json_that_holds_no_news_is_refused_in_one_sentence(body: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_json(body, Reading(), where="x")


# Files


def test_columns_are_found_by_name_or_named_by_the_user(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('When,Words,More,Score\n2024-05-01 10:00,"Up, and ""up""","line\nbreak",0.5\n,later,,\n')
    reading = Reading(time="When", text=("Words", "More"), value="Score", zone=UTC)

    imported = import_news([path], tmp_path, "mine", reading, now=NOON)

    rows = NewsStore(tmp_path).read("mine")
    assert imported.added == 2
    assert told(tmp_path, "mine") == [('Up, and "up" line break', "05-01 11:00"), ("later", "06-03 12:00")]
    assert rows["value"].to_list() == [0.5, None]


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".tsv", ".jsonl", ".jsonl.gz", ".json", ".parquet"])
def test_the_same_items_are_the_same_in_every_kind_of_file(ending: str, tmp_path: Path) -> None:
    frame = pl.DataFrame({"published": ["2024-05-01T10:00:00Z", "2024-05-02"], "title": ["a", "b"]})
    bodies = {
        ".csv": frame.write_csv().encode(),
        ".tsv": frame.write_csv(separator="\t").encode(),
        ".jsonl": frame.write_ndjson().encode(),
        ".json": frame.write_json().encode(),
    }
    path = tmp_path / f"news{ending}"
    plain = bodies.get(ending.removesuffix(".gz"), b"")
    path.write_bytes(gzip.compress(plain) if ending.endswith(".gz") else plain)
    frame.lazy().filter(ending == ".parquet").collect().write_parquet(tmp_path / "news.parquet")

    import_news([path], tmp_path, "s", now=NOON)

    assert told(tmp_path, "s") == [("a", "05-01 11:00"), ("b", "05-03 12:00")]


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"time,text\n", "there are no rows"),
        ("a.csv", b"time,text\n1,2,3\n", "not a readable CSV file"),
        ("a.csv", b"time,text\n2024-05-01,\xff\xfe\n", "its text is not UTF-8"),
        ("a.csv.gz", b"time", "the file cannot be read"),
        ("a.jsonl", b'{"time": 1}\n{"time"', "line 2 is not JSON"),
        ("a.jsonl", b"[1]\n", "line 1 is not an object"),
        ("a.parquet", b"PAR", "not a readable Parquet file"),
        ("a.docx", b"x", "its name must end in one of"),
        ("a.xml", b"<html></html>", "a web page, not a feed"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_nothing_is_written(
    name: str, body: bytes, message: str, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / name
    good.write_text("time,text\n2024-05-01T10:00Z,a\n")
    bad.write_bytes(body)

    with pytest.raises(DataError, match=message):
        import_news([good, bad], tmp_path / "lake", "s", now=NOON)

    assert NewsStore(tmp_path / "lake").sources() == []


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        (Reading(time="tme"), "no column 'tme'. Did you mean time?"),
        (Reading(text=("txet",)), "no column 'txet'. Did you mean text?"),
        (Reading(value="q"), "no column 'q'. There are time, text."),
    ],
)
def test_a_column_that_is_not_there_is_refused_with_the_nearest(
    reading: Reading, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,text\n2024-05-01T10:00Z,a\n")

    with pytest.raises(DataError) as caught:
        import_news([path], tmp_path, "s", reading)

    assert message in str(caught.value)


def test_the_fear_and_greed_index_is_the_same_from_its_file_and_from_its_host(
    server: FeedServer, lake: Path, pace: HandPace, real_data: Path
) -> None:
    file = real_data / "sentiment" / "fear_greed_index_daily.parquet"
    imported = import_news([file], lake, "fear-greed", now=NOON + 400 * DAY)
    days = pl.read_parquet(file).tail(3)
    data = [
        {"value": str(v), "timestamp": str(t)}
        for t, v in zip(days["ts"].dt.epoch("s"), days["value"], strict=True)
    ]
    server.serve(
        "api.alternative.me/fng/", Page(json.dumps({"name": "Fear and Greed Index", "data": data}).encode())
    )
    pace.at = NOON + 401 * DAY

    (fetched,) = fetch(lake, pace, "fear-greed")

    rows = NewsStore(lake).read("fear-greed")
    assert (imported.added, fetched.items, fetched.added) == (2_703, 3, 0)
    assert (rows["known_at"] - rows["published_at"]).unique().to_list() == [timedelta(days=1)]
    assert rows["value"].is_between(0, 100).all()


def test_the_labelled_headlines_have_no_time_of_day_and_count_when_their_day_is_over_everywhere(
    tmp_path: Path, real_data: Path
) -> None:
    file = real_data / "sentiment" / "cryptolin_labelled_headlines.parquet"

    imported = import_news([file], tmp_path, "cryptolin", Reading(value="label"))

    rows = NewsStore(tmp_path).read("cryptolin")
    assert (imported.added, imported.items) == (1_740, 1_740)
    assert (rows["known_at"] - rows["published_at"]).unique().to_list() == [timedelta(hours=36)]
    assert set(rows["value"]) == {-1.0, 0.0, 1.0}


def test_the_raw_news_names_no_zone_so_that_its_latest_reading_counts(
    tmp_path: Path, real_data: Path
) -> None:
    file = real_data / "raw" / "crypto_news_timestamped_2024-04_raw.parquet"
    stated = pl.read_parquet(file)["published"].dt.replace_time_zone("UTC")

    imported = import_news([file], tmp_path, "raw")

    rows = NewsStore(tmp_path).read("raw")
    assert imported.added == len(stated) == 451
    assert (rows["known_at"] - stated).unique().to_list() == [timedelta(hours=13)]


# The network


def test_a_second_fetch_asks_only_for_what_changed_and_adds_nothing(
    server: FeedServer, lake: Path, pace: HandPace
) -> None:
    server.serve("decrypt.co/feed", Page(rss(item("a", TEN, guid="1")), is_zipped=True))

    (first,) = fetch(lake, pace)
    before = NewsStore(lake).path("decrypt").read_bytes()
    (second,) = fetch(lake, pace)

    assert (first.added, first.unchanged, second.added, second.unchanged) == (1, False, 0, True)
    assert "If-None-Match" not in server.asked[0].headers
    assert "longshort" in server.asked[0].headers["User-Agent"]
    assert server.asked[1].headers["If-None-Match"].startswith('"')
    assert NewsStore(lake).path("decrypt").read_bytes() == before


def test_a_source_whose_file_is_gone_is_fetched_in_full(
    server: FeedServer, lake: Path, pace: HandPace
) -> None:
    server.serve("decrypt.co/feed", Page(rss(item("a", TEN, guid="1"))))
    fetch(lake, pace)
    NewsStore(lake).path("decrypt").unlink()

    (again,) = fetch(lake, pace)

    assert (again.added, again.unchanged) == (1, False)


def test_items_are_known_when_seen_and_edits_when_they_were_seen(
    server: FeedServer, lake: Path, pace: HandPace
) -> None:
    server.serve(
        "decrypt.co/feed",
        Page(rss(item("old", "Wed, 01 May 2024 10:00:00 GMT", guid="0"), item("a", TEN, guid="1"))),
        Page(
            rss(
                item("a was wrong", TEN, guid="1"),
                item("b", "Mon, 03 Jun 2024 13:50:00 GMT", guid="2"),
                item("late", "Thu, 02 May 2024 10:00:00 GMT", guid="3"),
            )
        ),
    )

    fetch(lake, pace)
    pace.move_to("2024-06-03T14:00Z")
    (second,) = fetch(lake, pace)

    assert told(lake) == [
        ("old", "05-01 11:00"),
        ("a", "06-03 12:00"),
        ("a was wrong", "06-03 14:00"),
        ("b", "06-03 14:00"),
        ("late", "06-03 14:00"),  # it says May, but was not there at noon
    ]
    assert (second.added, second.edited) == (3, 1)
    assert NewsStore(lake).read("decrypt")["backfilled"].to_list() == [True, False, False, False, False]


def test_a_host_that_asks_to_wait_is_given_that_time(server: FeedServer, lake: Path, pace: HandPace) -> None:
    server.serve(
        "decrypt.co/feed",
        Page(b"", status=429, headers={"Retry-After": "7"}),
        Page(b"", status=503, headers={"Retry-After": "Mon, 03 Jun 2024 12:00:30 GMT"}),
        Page(rss(item("a", TEN))),
    )

    (fetched,) = fetch(lake, pace)

    assert (fetched.added, fetched.error) == (1, "")
    assert pace.slept == [7.0, 23.0]


@pytest.mark.parametrize(
    ("page", "slept", "message"),
    [
        (
            Page(b"", status=500),
            [1.0, 2.0],
            "decrypt.co answered 500 Internal Server Error, 3 times in a row.",
        ),
        (Page(b"", status=429, headers={"Retry-After": "3600"}), [], "asks to be left alone for 3,600 s"),
        (Page(b"", status=404), [], "decrypt: decrypt.co answered 404 Not Found. Check its address."),
        (
            Page(rss(item("a", TEN)), is_cut=True),
            [1.0, 2.0],
            "decrypt.co broke off its answer, 3 times in a row.",
        ),
        (Page(b"\x1f\x8bnot", headers={"Content-Encoding": "gzip"}), [1.0, 2.0], "broke off its answer"),
        (Page(b"", status=302, headers={"Location": "/feed"}), [], "the request failed (TooManyRedirects)"),
        (Page(b"<html></html>"), [], "decrypt: it is a web page, not a feed."),
    ],
)
def test_a_source_that_fails_says_why_and_the_others_are_kept(
    page: Page, slept: list[float], message: str, server: FeedServer, lake: Path, pace: HandPace
) -> None:
    server.serve("decrypt.co/feed", page)
    server.serve("other.test/feed", Page(rss(item("a", TEN))))

    failed, fine = fetch(lake, pace, f"decrypt={FEED}", "rss:https://other.test/feed")

    assert message in failed.error
    assert (fine.source, fine.added, fine.error) == ("other.test-feed", 1, "")
    assert pace.slept == slept
    assert NewsStore(lake).sources() == ["other.test-feed"]


def test_a_certificate_that_is_not_trusted_is_a_failure_and_no_reason_to_try_again(
    server: FeedServer, lake: Path, pace: HandPace
) -> None:
    (fetched,) = fetch(lake, pace, "rss:https://stranger.test/feed?key=secret")

    assert "ClientConnectorCertificateError" in fetched.error
    assert "secret" not in fetched.error
    assert pace.slept == []


def test_more_than_a_feed_can_be_is_refused(
    server: FeedServer, lake: Path, pace: HandPace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "MOST_BYTES", 1_000_000)
    server.serve("decrypt.co/feed", Page(b" " * 1_000_001, is_zipped=True))

    (fetched,) = fetch(lake, pace)

    assert "more than 1 MB are no feed" in fetched.error


def test_nobody_who_answers_is_a_failure_in_one_sentence(
    server: FeedServer, lake: Path, pace: HandPace
) -> None:
    with server:
        pass

    (fetched,) = fetch(lake, pace)

    assert fetched.error == "decrypt: decrypt.co cannot be reached, 3 times in a row. Try again later."


def test_a_body_that_breaks_off_is_asked_for_again_in_full(
    server: FeedServer, lake: Path, pace: HandPace
) -> None:
    whole = rss(item("a", TEN, guid="1"), item("b", TEN, guid="2"))
    server.serve("decrypt.co/feed", Page(whole[:-25]), Page(whole))

    first, second = fetch(lake, pace)[0], fetch(lake, pace)[0]

    assert (first.added, second.added) == (1, 1)
    assert first.remark == "it breaks off: whole items were taken, 1 in number"
    assert "If-None-Match" not in server.asked[1].headers


def test_feeds_of_one_host_are_asked_one_by_one_with_a_pause(
    server: FeedServer, lake: Path, pace: HandPace
) -> None:
    server.serve("www.reddit.com/r/Bitcoin/new/.rss", Page(rss(item("a", TEN))))

    fetched = fetch(lake, pace, "reddit:Bitcoin", "reddit:r/ethereum")

    assert pace.slept == [2.0]
    assert [f.source for f in fetched] == ["reddit-bitcoin", "reddit-ethereum"]
    assert fetched[0].added == 1


def test_reddit_refusing_is_explained(server: FeedServer, lake: Path, pace: HandPace) -> None:
    server.serve("www.reddit.com/r/Bitcoin/new/.rss", Page(b"<html>whoa there</html>", status=403))

    (fetched,) = fetch(lake, pace, "reddit:Bitcoin")

    assert "answered 403 Forbidden. Reddit refuses many addresses of data centers" in fetched.error


def test_a_figure_that_its_host_revises_is_a_row_of_its_own(
    server: FeedServer, lake: Path, pace: HandPace
) -> None:
    def answer(value: int) -> Page:
        days = [{"value": str(value), "timestamp": "1717372800"}, {"value": "400", "timestamp": "1717286400"}]
        return Page(json.dumps({"name": "Fear and Greed Index", "data": days}).encode())

    server.serve("api.alternative.me/fng/", answer(40), answer(41))

    (first,) = fetch(lake, pace, "fear-greed")
    pace.move_to("2024-06-05T08:00Z")
    fetch(lake, pace, "fear-greed")

    rows = NewsStore(lake).read("fear-greed")
    assert (first.added, first.skipped) == (1, 1)
    assert rows["id"].to_list() == ["2024-06-03", "2024-06-03"]
    assert rows["value"].to_list() == [40.0, 41.0]
    assert told(lake, "fear-greed") == [("", "06-04 00:00"), ("", "06-05 08:00")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rs:https://decrypt.co/feed", "is not a source of news. Did you mean rss?"),
        ("https://decrypt.co/feed", "Write rss: before the address, or json:."),
        ("rss:decrypt.co/feed", "Write rss:URL, json:URL, reddit:SUB or fear-greed."),
        ("reddit:no such", "Write rss:URL"),
        ("fear-gred", "Did you mean fear-greed?"),
        ("", "Write rss:URL"),
    ],
)
def test_an_unknown_source_is_refused_with_the_nearest_kind(text: str, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        parse_feed(text)

    assert message in str(caught.value)


def test_two_feeds_never_share_a_name(server: FeedServer, lake: Path, pace: HandPace) -> None:
    server.serve("decrypt.co/feed", Page(rss(item("a", TEN))))
    fetch(lake, pace)

    with pytest.raises(DataError, match="two sources have this name"):
        fetch(lake, pace, f"decrypt={FEED}", "decrypt=rss:https://other.test/feed")
    with pytest.raises(DataError, match=r"from another address, of decrypt.co. Give one a name of its own"):
        fetch(lake, pace, "decrypt=rss:https://other.test/feed")


def test_the_default_feeds_have_names_of_their_own() -> None:
    names = [parse_feed(text).name for text in DEFAULT_FEEDS]

    assert len(set(names)) == len(names) == 7


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "feedparser", None)

    with pytest.raises(
        MissingExtra, match=r'feedparser is not installed. Install it with `pip install "longshort\[news\]"`'
    ):
        read_feed(rss(), Reading(), where="x")


# The lake


def test_the_reader_gives_what_was_known_in_order_and_can_refuse_history(
    server: FeedServer, lake: Path, pace: HandPace
) -> None:
    server.serve(
        "decrypt.co/feed", Page(rss(item("b", ELEVEN), item("old", "Wed, 01 May 2024 10:00:00 GMT")))
    )
    server.serve("other.test/feed", Page(rss(item("c", "Mon, 03 Jun 2024 12:30:00 GMT"))))
    fetch(lake, pace, f"decrypt={FEED}", "other=rss:https://other.test/feed")

    everything = read_news(lake)
    at_noon = read_news(lake, until=NOON)
    before_noon = read_news(lake, until=NOON - 1)
    seen = read_news(lake, ["decrypt"], until=NOON, backfilled=False)

    texts = [frame["text"].to_list() for frame in (everything, at_noon, before_noon, seen)]
    assert texts == [["old", "b", "c"], ["old", "b"], ["old"], ["b"]]


def test_a_file_that_was_changed_by_others_is_noticed(lake: Path) -> None:
    store = NewsStore(lake)
    store.add("s", [Headline(text="a"), Headline(text="b")], Look(ingested_at=NOON))
    store.read("s").write_parquet(
        store.path("s"), metadata={"longshort.digest": news_digest(store.read("s").reverse())}
    )

    with pytest.raises(DataError, match="the rows are not those that were written"):
        read_news(lake)


def test_writers_at_the_same_time_wait_for_each_other_and_lose_nothing(lake: Path) -> None:
    def add(number: int) -> None:
        NewsStore(lake).add("s", [Headline(text=str(number))], Look(ingested_at=NOON))

    with ThreadPoolExecutor(8) as writers:
        list(writers.map(add, range(24)))

    assert sorted(NewsStore(lake).read("s")["text"], key=int) == [str(n) for n in range(24)]


def test_a_lake_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")

    with pytest.raises(DataError, match="it cannot be written: not a directory"):
        NewsStore(tmp_path / "lake").add("s", [], Look(ingested_at=NOON))


def test_unknown_sources_and_bad_names_are_refused(lake: Path) -> None:
    store = NewsStore(lake)
    store.add("reddit-bitcoin", [Headline(text="a")], Look(ingested_at=NOON))

    with pytest.raises(DataError, match=r"no such source of news. Did you mean reddit-bitcoin\?"):
        read_news(lake, ["reddit-bitcon"])
    with pytest.raises(DataError, match="may hold letters, digits"):
        store.add("../evil", [], Look(ingested_at=NOON))
    with pytest.raises(DataError, match="may hold letters, digits"):
        store.add(".hidden", [], Look(ingested_at=NOON))


@pytest.mark.parametrize("text", ["{", '{"s": {"wrong": 1}}', "[1]"])
def test_a_damaged_memory_of_sources_is_one_sentence(text: str, lake: Path) -> None:
    store = NewsStore(lake)
    store.add("s", [], Look(ingested_at=NOON))
    (lake / "news" / "sources.json").write_text(text)

    with pytest.raises(DataError, match=r"the file is damaged. Delete it."):
        store.states()


# What the commands print


def test_the_commands_import_list_and_refuse_in_one_sentence(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("time,text\n2024-05-01,a\n2024-05-01 10:00,b\n")
    reading = commands.read_options(time="", text=(), url="", id_="", value="", zone="", stamped="auto")

    commands.import_into_lake([path], "mine", reading, delay="", lake=str(lake), as_json=False)
    commands.import_into_lake([path], "mine", reading, delay="2h", lake=str(lake), as_json=True)
    shown = capsys.readouterr().out
    commands.show(lake=str(lake), as_json=True)
    (summary,) = json.loads(capsys.readouterr().out)
    commands.show(lake=str(lake), as_json=False)

    assert "mine" in shown
    assert json.loads(shown.splitlines()[-1])["repeated"] == 2
    assert (summary["without_time"], summary["zoneless"], summary["backfilled"]) == (1, 1, 2)
    assert summary["first_at"] == "2024-05-01 23:00Z"
    assert summary["digest"] in capsys.readouterr().out


def test_fetching_fails_as_a_whole_if_any_source_failed(
    server: FeedServer, lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.serve("decrypt.co/feed", Page(rss(item("a", TEN))))

    fine = commands.fetch([FEED], lake=str(lake), as_json=True)
    failed = commands.fetch([FEED, "json:https://other.test/gone"], lake=str(lake), as_json=False)

    said = capsys.readouterr()
    assert (fine, failed) == (True, False)
    assert "other.test answered 404 Not Found. Check its address." in said.out
    assert "1 of 2 sources failed; what the others sent is kept." in said.err


def test_a_lake_without_news_is_one_sentence(lake: Path) -> None:
    lake.mkdir()

    with pytest.raises(LongshortError, match="there is no news"):
        commands.show(lake=str(lake), as_json=False)
