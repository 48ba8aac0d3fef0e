"""Headlines on bars: what they score, whom they are about, and that no bar knows one early."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.calendar import find_calendar
from longshort.base.clock import DAY, HOUR, MINUTE, Interval, parse_instant
from longshort.base.errors import DataError, MissingExtra, StudyError
from longshort.base.settings import Study
from longshort.data.bars import Bars, Gauge
from longshort.data.market import load_bars
from longshort.data.news.items import MILLISECOND, NEWS_SCHEMA
from longshort.data.simulator import simulate_market
from longshort.features.catalog import FEATURES, names_on_record
from longshort.features.families.sentiment import features_of_news
from longshort.features.panel import FeatureStream
from longshort.features.sentiment.aggregate import RECORD_SILENCE, SAME_STORY, Record, news_gauges
from longshort.features.sentiment.coins import MARKET_WEIGHT, coin_weights, coins_named
from longshort.features.sentiment.lexicon import Lexicon, VaderScorer, crypto_lexicon, plain_words
from longshort.features.sentiment.score import Remembered, Scorer, Scores
from longshort.study.mood import open_scorer, with_news

ROOT = Path(__file__).parents[1]
SPOKEN: tuple[Gauge, ...] = ("news_count", "news_score", "news_square")
MARKET = simulate_market(coins=3, bars=2_000, seed=5).bars[:120]
COINS = ("BTC", "ETH", "SOL")
BARS = replace(
    MARKET, instruments=tuple(replace(i, base=c) for i, c in zip(MARKET.instruments, COINS, strict=True))
)
START = int(BARS.closed_at[0]) - HOUR
TEXTS = (
    "Bitcoin plunges",
    "Ether soars",
    "Crypto slumps",
    "Solana and Bitcoin surge",
    "Litecoin sinks",
    "bitcoin PLUNGES!",
)
OURS = VaderScorer(crypto_lexicon())


@dataclass
class Counting:
    """A scorer that says how long a text is, in hundreds of letters, and remembers whom it was asked about."""

    asked: list[str]
    name: str = "counting-1"

    def score(self, texts: Sequence[str]) -> Scores:
        self.asked += texts
        return np.array([min(len(text) / 100, 1.0) for text in texts], dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A row of news; instants are nanoseconds after START."""

    known: int
    published: int | None = None
    text: str = ""
    source: str = "desk"
    id: str = ""
    value: float | None = None


def news(*items: Item) -> pl.DataFrame:
    rows = [
        {
            "published_at": None if item.published is None else (START + item.published) // MILLISECOND,
            "ingested_at": (START + item.known) // MILLISECOND,
            "known_at": (START + item.known) // MILLISECOND,
            "source": item.source,
            "text": item.text,
            "url": "",
            "id": item.id or f"{k}",
            "value": item.value,
            "stated": "time",
            "backfilled": False,
        }
        for k, item in enumerate(items)
    ]
    return pl.DataFrame(rows, schema=dict(NEWS_SCHEMA)).sort("known_at", maintain_order=True)


def gauges(rows: pl.DataFrame, bars: Bars = BARS, *, delay: int = 0) -> dict[Gauge, np.ndarray]:
    return news_gauges(Record.of(rows, delay=delay), bars, OURS)


def first_row(name: Gauge, rows: pl.DataFrame, *, delay: int = 0) -> int:
    """The row at which a gauge first says anything but nothing."""
    return int(np.argmax(np.nan_to_num(gauges(rows, delay=delay)[name][:, 0]) != 0.0))


minutes = st.integers(-20 * 60, 130 * 60).map(lambda count: count * MINUTE)
items = st.builds(
    Item,
    known=minutes,
    published=st.one_of(st.none(), minutes),
    text=st.sampled_from(TEXTS),
    source=st.sampled_from(("desk", "wire")),
    id=st.sampled_from([f"n{k}" for k in range(12)]),
)
figures = st.builds(
    Item,
    known=minutes,
    published=minutes,
    source=st.just("fear-greed"),
    value=st.integers(0, 100).map(float),
    id=st.sampled_from([f"d{k}" for k in range(6)]),
)
records = st.lists(st.one_of(items, figures), max_size=25).map(lambda some: news(*some))
delays = st.sampled_from((0, 7 * MINUTE, 3 * HOUR))


# Scores


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("Bitcoin plunges after exchange hack", -1.0, -0.7),
        ("Solana down 12% as traders are liquidated", -1.0, -0.5),
        ("Binance to delist LUNA after rug pull", -1.0, -0.5),
        ("Ether soars to all-time high", 0.7, 1.0),
        ("SEC approves spot Bitcoin ETF", 0.5, 1.0),
        ("BTC is up 5%", 0.3, 0.6),
        ("Bitcoin does not crash", 0.1, 1.0),
        ("Grayscale Bitcoin Trust shares", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_words_of_crypto_say_what_they_mean_to_a_holder(text: str, least: float, most: float) -> None:
    assert least <= OURS.score([text])[0] <= most


def test_plain_vader_does_not_know_what_a_plunge_is() -> None:
    assert VaderScorer().score(["Bitcoin plunges after exchange hack"]).tolist() == [0.0]


def test_a_phrase_counts_as_one_word_whatever_joins_its_parts_and_a_longer_one_wins() -> None:
    scorer = VaderScorer(Lexicon(words={"high": -3.0}, phrases={"time high": 1.0, "all time high": 3.0}))

    scores = scorer.score(["all-time high", "all\n time  HIGH", "a time high", "high"])

    assert scores[0] == scores[1] > scores[2] > 0.0 > scores[3]


def test_a_number_in_a_phrase_is_any_number() -> None:
    scorer = VaderScorer(Lexicon(words={}, phrases={"up n": 2.0}))

    scores = scorer.score(["up 5%", "up $1.5 million", "up 10k", "up to you", "up"])

    assert (scores > 0.0).tolist() == [True, True, True, False, False]


def test_a_score_depends_on_its_text_alone() -> None:
    together = OURS.score(TEXTS)

    assert [float(OURS.score([text])[0]) for text in TEXTS] == together.tolist()
    assert np.abs(together).max() <= 1.0


def test_the_lexicon_is_the_one_that_was_judged() -> None:
    told = (ROOT / "docs" / "sentiment.md").read_text(encoding="utf-8")

    assert OURS.name in told


def test_without_vader_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)

    with pytest.raises(MissingExtra, match=r'pip install "longshort\[news\]"'):
        VaderScorer()


def test_every_weight_of_the_lexicon_is_one_of_seven_and_no_word_needs_two() -> None:
    lexicon = crypto_lexicon()

    assert {*lexicon.words.values(), *lexicon.phrases.values()} <= {-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0}
    assert [word for word in lexicon.words if word != plain_words(word).lower() or " " in word] == []
    assert [phrase for phrase in lexicon.phrases if phrase != plain_words(phrase)] == []


# Memory


def test_a_text_is_scored_once_and_remembered_for_good(tmp_path: Path) -> None:
    asked: list[str] = []
    scorer: Scorer = Remembered(Counting(asked), tmp_path)

    first = scorer.score(["a" * 10, "b" * 20, "a" * 10])
    again = Remembered(Counting(asked), tmp_path).score(["b" * 20, "c" * 30])

    assert (first.tolist(), again.tolist()) == ([0.1, 0.2, 0.1], [0.2, 0.3])
    assert asked == ["a" * 10, "b" * 20, "c" * 30]


def test_another_edition_of_a_scorer_remembers_nothing_of_the_first(tmp_path: Path) -> None:
    asked: list[str] = []

    Remembered(Counting(asked), tmp_path).score(["a"])
    Remembered(Counting(asked, name="counting-2"), tmp_path).score(["a"])

    assert asked == ["a", "a"]


def test_a_damaged_memory_is_named_with_its_remedy(tmp_path: Path) -> None:
    scorer = Remembered(Counting([]), tmp_path)
    scorer.score(["a"])
    scorer.path.write_bytes(b"no Parquet")

    with pytest.raises(DataError, match=r"counting-1\.parquet: the file is damaged\. Delete it\."):
        scorer.score(["a"])


# Coins


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Bitcoin jumps, ether follows", {"BTC", "ETH"}),
        ("XBT futures open higher", {"BTC"}),
        ("bitcoin cash rallies", {"BCH"}),
        ("Ethereum Classic is attacked", {"ETC"}),
        ("Chainlink (LINK) and SOL/USDT", {"LINK", "SOL"}),
        ("BTCUSDT funding turns negative", {"BTC"}),
        ("Follow this LINK for one more tip", set()),
        ("$one and #link gain", {"ONE", "LINK"}),
        ("NEAR gains, and we are near a top", {"NEAR"}),
        ("ADA AND AVAX ARE UP", set()),
        ("$ADA AND BITCOIN ARE UP", {"ADA", "BTC"}),
        ("The ripple effect of the Fed", set()),
        ("Ripple wins in court", {"XRP"}),
        ("PEPE and Polygon", {"PEPE", "POL", "MATIC"}),
        ("ethereal bitcoiners tether", set()),
        ("SEC and CEO and NFT", set()),
    ],
)
def test_a_headline_is_about_the_coins_that_it_names(text: str, named: set[str]) -> None:
    assert coins_named(text, ("ONE", "PEPE", "SEC")) == named


def test_a_headline_that_names_no_coin_counts_for_every_coin_and_one_on_a_stranger_for_none() -> None:
    weights = coin_weights(["Crypto slumps", "Litecoin sinks", "PEPE and SOL"], ("BTC", "SOL", "1000PEPE"))

    assert weights.tolist() == [[MARKET_WEIGHT] * 3, [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]]


# Time


@given(rows=records, delay=delays, cut=st.integers(0, len(BARS) - 1))
def test_what_becomes_known_later_never_changes_an_earlier_bar(
    rows: pl.DataFrame, delay: int, cut: int
) -> None:
    closed_at = int(BARS.closed_at[cut])
    is_known = pl.col("known_at").dt.epoch("ms") <= closed_at // MILLISECOND
    other = rows.with_columns(
        pl.when(is_known).then("text").otherwise(pl.lit("Bitcoin and Solana crash")).alias("text"),
        pl.when(is_known).then("value").otherwise(None).alias("value"),
    )

    whole = gauges(rows, delay=delay)
    cut_off = gauges(rows.filter(is_known), BARS[: cut + 1], delay=delay)
    changed = gauges(other, delay=delay)

    for name, grid in whole.items():
        np.testing.assert_array_equal(cut_off[name], grid[: cut + 1])
        np.testing.assert_array_equal(changed[name][: cut + 1], grid[: cut + 1])


@given(rows=records, delay=delays, row=st.integers(0, len(BARS) - 1))
def test_a_bar_by_itself_hears_what_it_hears_in_the_whole_history(
    rows: pl.DataFrame, delay: int, row: int
) -> None:
    known = rows.filter(pl.col("known_at").dt.epoch("ms") <= int(BARS.closed_at[row]) // MILLISECOND)

    alone = gauges(known, BARS[row : row + 1], delay=delay)

    for name, grid in gauges(rows, delay=delay).items():
        np.testing.assert_array_equal(alone[name], grid[row : row + 1])


@given(known=minutes, lateness=st.integers(0, 5 * 60), delay=delays)
def test_a_headline_is_heard_at_the_first_close_from_which_it_may_be_used(
    known: int, lateness: int, delay: int
) -> None:
    published = known - lateness * MINUTE
    usable_at = START + max(known, published + delay)

    count = gauges(news(Item(known=known, published=published, text="Bitcoin")), delay=delay)["news_count"]

    expected = (usable_at <= BARS.closed_at) & (BARS.closed_at < usable_at + HOUR)
    np.testing.assert_array_equal(np.nan_to_num(count[:, 0]), expected.astype(float))
    np.testing.assert_array_equal(np.isnan(count[:, 0]), BARS.closed_at < usable_at)


def test_a_headline_known_exactly_at_a_close_belongs_to_that_bar() -> None:
    rows = news(
        Item(known=10 * HOUR, text="Bitcoin"), Item(known=11 * HOUR + 1_000_000, text="Bitcoin again")
    )

    assert np.flatnonzero(gauges(rows)["news_count"][:, 0] == 1.0).tolist() == [9, 11]


@given(rows=records)
def test_no_headline_is_lost_and_none_counts_twice(rows: pl.DataFrame) -> None:
    record = Record.of(rows)
    inside = (record.headline_at > START) & (record.headline_at <= BARS.closed_at[-1])
    weights = coin_weights([t for t, is_in in zip(record.texts, inside, strict=True) if is_in], COINS)

    counted = np.nansum(gauges(rows)["news_count"], axis=0)

    np.testing.assert_allclose(counted, weights.sum(axis=0))


@given(rows=records, delay=delays)
def test_gauges_are_what_a_reader_with_a_pencil_would_write_down(rows: pl.DataFrame, delay: int) -> None:
    told = [row for row in usable(rows, delay) if row["text"]]
    seen: dict[str, int] = {}
    ids: set[tuple[str, str]] = set()
    expected = np.zeros((3, *BARS.close.shape))
    for row in told:
        is_edit, key = (row["source"], row["id"]) in ids, plain_words(row["text"]).lower().rstrip("!")
        ids.add((row["source"], row["id"]))
        is_old = row["at"] - seen.get(key, -SAME_STORY * 9) <= SAME_STORY
        if not is_edit:
            seen[key] = row["at"]
        write_down(expected, row, counts=not is_edit and not is_old)
    unheard = [
        not any(at - RECORD_SILENCE <= row["at"] <= at for row in told) for at in BARS.closed_at.tolist()
    ]
    expected[:, unheard] = np.nan

    written = gauges(rows, delay=delay)

    np.testing.assert_allclose([written[name] for name in SPOKEN], expected, atol=1e-12)


def usable(rows: pl.DataFrame, delay: int) -> list[dict[str, object]]:
    """Rows in the order in which they may be used, with that instant."""
    placed = []
    for row in rows.with_columns(pl.col("known_at", "published_at").dt.epoch("ms") * MILLISECOND).to_dicts():
        published = row["published_at"]
        at = max(row["known_at"], row["known_at"] if published is None else published + delay)
        placed.append({**row, "at": at})
    return sorted(placed, key=lambda row: (row["at"], row["known_at"], row["source"], row["id"]))


def write_down(grids: np.ndarray, row: dict[str, object], *, counts: bool) -> None:
    score = float(OURS.score([str(row["text"])])[0])
    bars = np.flatnonzero((BARS.closed_at - HOUR < row["at"]) & (BARS.closed_at >= row["at"]))
    for bar in bars[: int(counts)]:
        grids[:, bar] += np.outer([1.0, score, score**2], coin_weights([str(row["text"])], COINS)[0])


# Edits, repetitions, silence


def test_an_edit_is_no_second_headline_and_does_not_unsay_the_first() -> None:
    rows = news(
        Item(known=2 * HOUR, text="Bitcoin plunges", id="a"),
        Item(known=5 * HOUR, text="Bitcoin soars", id="a"),
    )

    heard = gauges(rows)

    assert np.nansum(heard["news_count"][:, 0]) == 1.0
    assert np.nansum(heard["news_score"][:, 0]) == OURS.score(["Bitcoin plunges"])[0]


def test_the_same_text_counts_once_in_three_days_whoever_brings_it() -> None:
    rows = news(
        Item(known=2 * HOUR, text="Bitcoin plunges", source="desk"),
        Item(known=3 * HOUR, text="BITCOIN: plunges!", source="wire"),
        Item(known=3 * HOUR + SAME_STORY + MINUTE, text="Bitcoin plunges", source="desk"),
    )

    assert np.flatnonzero(gauges(rows)["news_count"][:, 0] > 0.0).tolist() == [1, 75]


def test_silence_is_zero_while_somebody_listens_and_unknown_before_and_after() -> None:
    days = simulate_market(coins=3, bars=2_000, seed=5).bars[:400]
    bars = replace(days, instruments=BARS.instruments)

    count = gauges(news(Item(known=10 * HOUR, text="Bitcoin plunges")), bars)["news_count"]

    assert np.isnan(count[:9]).all()
    assert (count[9, 0], np.abs(count[10 : 10 + 168]).max()) == (1.0, 0.0)
    assert np.isnan(count[10 + 168 :]).all()


def test_an_empty_record_is_unknown_everywhere_and_needs_no_scorer() -> None:
    empty = news_gauges(Record.of(news()), BARS, None)

    assert all(np.isnan(grid).all() for grid in empty.values())
    assert set(empty) == {*SPOKEN, "mood"}


def test_what_is_said_while_a_stock_exchange_is_closed_belongs_to_its_next_session() -> None:
    calendar = find_calendar("XNYS")
    day = Interval.parse("1d")
    closed_at = calendar.grid(parse_instant("2024-07-01T20:00Z"), parse_instant("2024-07-12T20:00Z"), day)
    bars = replace(BARS[: len(closed_at)], calendar=calendar, interval=day, closed_at=closed_at)
    weekend = parse_instant("2024-07-06T12:00Z") - START

    whole = gauges(news(Item(known=weekend, text="Bitcoin plunges")), bars)["news_count"]
    monday = gauges(news(Item(known=weekend, text="Bitcoin plunges")), bars[4:5])["news_count"]

    assert np.flatnonzero(whole[:, 0] == 1.0).tolist() == [4]
    assert monday[0, 0] == 1.0


# Mood


def figure(day: int, value: float, *, known: int | None = None, source: str = "fear-greed") -> Item:
    """The index of a day, known at its end."""
    at = (day + 1) * DAY if known is None else known
    return Item(known=at, published=day * DAY, value=value, id=f"{day}", source=source)


def test_a_mood_stands_from_the_end_of_its_day_for_two_days() -> None:
    mood = gauges(news(figure(0, 75.0), figure(1, 0.0)))["mood"][:, 0]

    assert np.isnan(mood[:23]).all()
    assert (mood[23], mood[46], mood[47], mood[47 + 48]) == (0.5, 0.5, -1.0, -1.0)
    assert np.isnan(mood[47 + 49 :]).all()


def test_a_figure_of_a_day_gone_by_does_not_replace_a_newer_one() -> None:
    mood = gauges(news(figure(0, 60.0), figure(1, 70.0), figure(0, 10.0, known=50 * HOUR)))["mood"][:, 0]

    assert mood[60] == 70.0 / 50.0 - 1.0


def test_a_corrected_figure_counts_from_its_correction_on() -> None:
    mood = gauges(news(figure(0, 60.0), figure(0, 40.0, known=30 * HOUR)))["mood"][:, 0]

    assert mood[28:30].tolist() == pytest.approx([0.2, -0.2])


def test_a_figure_that_comes_too_late_is_never_used() -> None:
    assert np.isnan(gauges(news(figure(0, 60.0, known=3 * DAY + MINUTE)))["mood"]).all()


def test_two_indices_and_an_index_of_another_kind_are_refused() -> None:
    with pytest.raises(DataError, match=r"features\.news_sources: there are several indices .* a, b\."):
        Record.of(news(figure(0, 1.0, source="a"), figure(0, 2.0, source="b")))
    with pytest.raises(DataError, match=r"it holds 101, and an index of mood runs from 0 to 100\."):
        Record.of(news(figure(0, 101.0)))


# Features


def with_gauges(rng: np.random.Generator, bars: Bars) -> Bars:
    count = rng.poisson(1.0, bars.close.shape).astype(float)
    score = rng.uniform(-1.0, 1.0, bars.close.shape) * count
    square = np.where(count > 0, score**2 / np.maximum(count, 1.0), 0.0)
    mood = rng.uniform(-1.0, 1.0, bars.close.shape)
    return replace(
        bars, gauges={"news_count": count, "news_score": score, "news_square": square, "mood": mood}
    )


def test_decayed_sums_are_those_of_a_naive_loop(rng: np.random.Generator) -> None:
    bars = with_gauges(rng, BARS)
    names = ("news_mean", "news_volume", "news_spread")

    values = FeatureStream(bars.symbols, names).extend(bars).values

    fade = 0.5 ** (1.0 / 24.0)
    t = len(bars) - 1
    weights = fade ** (t - np.arange(t + 1)) / (1.0 - fade ** (t + 1))
    count, score, square = (weights @ bars.gauge(name)[: t + 1, 0] for name in SPOKEN)
    mean = score / (count + 1.0)
    expected = [mean, np.log1p(count), np.sqrt(square / (count + 1.0) - mean**2)]
    np.testing.assert_allclose(values[t, 0], expected, rtol=1e-5)


def test_one_voice_moves_the_mean_by_half_and_silence_takes_it_back() -> None:
    said = np.zeros(BARS.close.shape)
    said[60] = 1.0
    bars = replace(BARS, gauges={"news_count": said, "news_score": said, "news_square": said})

    mean = FeatureStream(bars.symbols, ("news_mean",)).extend(bars).column("news_mean")[:, 0]

    assert (mean[59], mean[60]) == (0.0, pytest.approx(0.5, abs=0.1))
    assert (np.diff(mean[60:]) < 0.0).all()


def test_a_surprise_is_the_distance_from_what_was_said_before() -> None:
    count = np.ones(BARS.close.shape)
    score = np.where(np.arange(len(BARS))[:, None] % 2 == 0, 0.5, -0.5) * count
    score[100], count[110], score[110] = 1.0, 0.0, 0.0
    bars = replace(BARS, gauges={"news_count": count, "news_score": score, "news_square": score**2})

    names = ("news_surprise", "news_mean", "news_spread")
    surprise, mean, spread = FeatureStream(bars.symbols, names).extend(bars).values[:, 0].T

    assert surprise[100] == pytest.approx((1.0 - mean[99]) / spread[99], rel=1e-5)
    assert surprise[100] == pytest.approx(2.0, abs=0.1)
    assert surprise[110] == 0.0


def test_bars_without_news_have_no_feature_of_them_and_bars_with_news_stay_usable() -> None:
    spoken = {name for name, feature in FEATURES.items() if feature.family == "sentiment"}
    bars = replace(BARS, gauges=gauges(news(Item(known=HOUR, text="Bitcoin plunges"), figure(0, 75.0))))

    plain = FeatureStream(bars.symbols, ("return_1",)).extend(bars)
    heard = FeatureStream(bars.symbols, ("return_1", "news_mean", "mood")).extend(bars)

    assert not spoken & set(names_on_record(BARS))
    assert {"news_mean", "news_surprise"} <= set(names_on_record(bars))
    np.testing.assert_array_equal(heard.usable, plain.usable)


def test_another_half_life_makes_another_table_of_the_same_names() -> None:
    assert set(features_of_news(6.0)) <= set(FEATURES)
    assert features_of_news(6.0)["news_mean"].warmup_rows == 6


# From files to bars


def longshort(*arguments: str, cwd: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LONGSHORT_")}
    subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-m", "longshort", *arguments], cwd=cwd, env=environment, check=True, timeout=60,
        capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with two coins, headlines of a CSV file and an index, all brought in as a person would."""
    folder = tmp_path_factory.mktemp("home")
    opened_at = np.arange(240) * HOUR + parse_instant("2024-06-01T00:00Z")
    price = 100.0 + np.sin(np.arange(240) / 5.0)
    for coin in ("BTCUSDT", "ETHUSDT"):
        bars = pl.DataFrame(
            {"ts": opened_at // MILLISECOND, "open": price, "high": price + 1, "low": price - 1}
        )
        bars = bars.with_columns(pl.from_epoch("ts", "ms"), close=price, volume=np.full(240, 5.0) + price)
        bars.write_parquet(folder / f"binance_{coin}_perp_1h.parquet")
    (folder / "old.csv").write_text(
        "When,Title\n2024-06-03,Bitcoin plunges after hack\n"
        "2024-06-04 09:30,Ether soars\n2024-06-04 09:45,Crypto slumps\n"
    )
    days = [{"value": "75", "timestamp": str(parse_instant(f"2024-06-0{d}") // 10**9)} for d in (3, 4)]
    (folder / "index.json").write_text(json.dumps({"name": "Fear and Greed Index", "data": days}))
    longshort("import", "binance_BTCUSDT_perp_1h.parquet", "binance_ETHUSDT_perp_1h.parquet", cwd=folder)
    longshort("news", "import", "old.csv", "--source", "archive", "--time", "When", "--text", "Title",
              "--zone", "UTC", cwd=folder)  # fmt: skip
    longshort("news", "import", "index.json", "--source", "fear-greed", cwd=folder)
    return folder


def study(home: Path, **features: object) -> Study:
    tables = {"data": {"lake": "lake"}, "features": {"news": "vader", **features}}
    return Study.parse(tables, folder=home)


def test_news_of_files_reaches_the_bars_that_could_know_it(home: Path) -> None:
    chosen = study(home)
    bars = with_news(load_bars(chosen.data, chosen.folder), chosen)

    rows = {
        text: int(np.searchsorted(bars.closed_at, parse_instant(f"2024-06-{text}Z")))
        for text in ("03T23:00", "04T00:00", "04T11:00", "04T12:00")
    }
    count, mood = bars.gauge("news_count"), bars.gauge("mood")
    assert np.isnan(count[rows["03T23:00"]]).all()
    assert count[rows["04T00:00"]].tolist() == [1.0, 0.0]
    assert count[rows["04T11:00"]].tolist() == [0.5, 1.5]
    assert count[rows["04T12:00"]].tolist() == [0.0, 0.0]
    assert bars.gauge("news_score")[rows["04T00:00"], 0] < -0.7
    assert np.isnan(mood[rows["03T23:00"]]).all()
    assert mood[rows["04T00:00"]].tolist() == [0.5, 0.5]


def test_a_live_bar_hears_what_it_hears_in_the_backtest(home: Path) -> None:
    chosen = study(home, news_delay_minutes=90)
    bars = load_bars(chosen.data, chosen.folder)
    whole = with_news(bars, chosen)

    pieces = [with_news(bars[row : row + 1], chosen) for row in range(70, 110)]

    for name, grid in whole.gauges.items():
        np.testing.assert_array_equal(np.concatenate([p.gauge(name) for p in pieces]), grid[70:110])


def test_a_study_delays_its_news_and_chooses_its_sources(home: Path) -> None:
    chosen = study(home, news_delay_minutes=180, news_sources=["archive"])
    bars = with_news(load_bars(chosen.data, chosen.folder), chosen)

    heard = np.flatnonzero(bars.gauge("news_count")[:, 1] > 0.0)

    assert bars.closed_at[heard].tolist() == [parse_instant("2024-06-04T13:00Z")]
    assert np.isnan(bars.gauge("mood")).all()


def test_without_a_scorer_bars_stay_as_they_are_and_an_unknown_one_is_refused(home: Path) -> None:
    assert with_news(BARS, study(home, news="")) is BARS
    with pytest.raises(StudyError, match=r"""features\.news: unknown scorer 'vadr'\. Write "vader" or"""):
        open_scorer(study(home, news="vadr"))
