"""What the certificate says of series that are whole, and of series with every defect that it knows."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from longshort._commands.check import check as check_command
from longshort.base.clock import HOUR, format_instant
from longshort.base.errors import DataError
from longshort.base.window import Window
from longshort.data.certificate.certificates import FILE, Certificate, from_json, to_json
from longshort.data.certificate.certify import (
    certificates_of,
    check_lake,
    check_series,
    refuse_broken,
)
from longshort.data.certificate.examine import Examined, examine
from longshort.data.files.importer import ImportOptions, import_files
from longshort.data.lake import INSTANT, Lake, Series
from longshort.data.simulator import Simulation, simulate_market
from tests.planted import PANEL, certify_planted

SERIES = Series("embedded", "bars-1h", "SIM01USDT")
FUNDING = Series("embedded", "funding", "SIM01USDT")
START = 1_704_067_200 * 1_000_000_000


def bar_rows(simulation: Simulation, coin: int, bars: int) -> pl.DataFrame:
    one = simulation.bars[:bars].coins([coin]).to_polars()
    return one.select(
        pl.col("closed_at").dt.offset_by("-1h").cast(INSTANT).alias("opened_at"),
        "open", "high", "low", "close", "volume",
    )  # fmt: skip


@pytest.fixture
def rows(simulation: Simulation) -> pl.DataFrame:
    return bar_rows(simulation, 0, 1_000)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def certify(lake: Lake, rows: pl.DataFrame, series: Series = SERIES, **options: object) -> Certificate:
    lake.write(series, rows, **options)  # pyright: ignore[reportArgumentType]
    return check_series(lake, series)


def change(rows: pl.DataFrame, first: int, last: int, **values: object) -> pl.DataFrame:
    inside = pl.arange(0, pl.len()).is_between(first, last)
    return rows.with_columns(
        pl.when(inside).then(value).otherwise(pl.col(name)).alias(name) for name, value in values.items()
    )


def events(column: str, hours: list[float], **values: list[float]) -> pl.DataFrame:
    at = pl.Series(column, [(START + int(h * HOUR)) // 1_000_000 for h in hours]).cast(INSTANT)
    return pl.DataFrame([at]).with_columns(pl.Series(name, v) for name, v in values.items())


def rules(found: Certificate) -> list[str]:
    return [f.rule for f in found.findings]


def places(found: Certificate, rule: str) -> list[str]:
    finding = found.found(rule)
    return [format_instant(at) for at in finding.places] if finding else []


def test_a_whole_series_is_clean(lake: Lake, rows: pl.DataFrame) -> None:
    found = certify(lake, rows)

    assert (found.grade, found.reasons, found.rows, found.missing) == ("clean", (), 1_000, 0)
    assert (format_instant(found.first_at), format_instant(found.last_at)) == (
        "2024-01-01 00:00Z",
        "2024-02-11 15:00Z",
    )


def test_gaps_are_counted_and_placed(lake: Lake, rows: pl.DataFrame) -> None:
    absent = pl.arange(0, pl.len()).is_in([10, 11, 12, 500])

    found = certify(lake, rows.filter(~absent))

    assert found.grade == "usable"
    assert found.reasons == ("4 of 1,000 bars missing in 2 gaps, 3 at once at most",)
    assert [(g.missing, g.asked) for g in found.gaps] == [(3, 0), (1, 0)]
    assert places(found, "missing") == ["2024-01-01 10:00Z", "2024-01-21 20:00Z"]


def test_a_gap_that_the_venue_was_asked_for_is_one_that_it_has_none_of(
    lake: Lake, rows: pl.DataFrame
) -> None:
    absent = pl.arange(0, pl.len()).is_in([10, 11, 12, 500])
    asked = [Window(START, START + 12 * HOUR)]

    found = certify(lake, rows.filter(~absent), asked=asked)

    assert found.reasons == (
        "4 of 1,000 bars missing in 2 gaps, 3 at once at most, of which the venue has none of 2",
    )
    assert [(g.missing, g.asked) for g in found.gaps] == [(3, 2), (1, 0)]


def test_holes_that_the_venue_cannot_fill_do_not_break_a_series(lake: Lake, rows: pl.DataFrame) -> None:
    holey = rows.filter(pl.arange(0, pl.len()) % 10 != 5)

    never_asked = certify(lake, holey).grade
    asked = certify(lake, holey, asked=[Window(START, START + 1_000 * HOUR)]).grade

    assert (never_asked, asked) == ("broken", "usable")


@pytest.mark.parametrize(("page", "lost"), [(100, 1), (50, 2)])
def test_gaps_at_a_fixed_distance_are_a_paging_fault(
    lake: Lake, rows: pl.DataFrame, page: int, lost: int
) -> None:
    found = certify(lake, rows.filter(pl.arange(0, pl.len()) % (page + lost) < page))

    verb = {1: "bar is", 2: "bars are"}[lost]
    words = f"{lost} {verb} missing after every {page}: a paging fault of the download; fetch it again"
    assert words in found.reasons


def test_gaps_here_and_there_are_no_paging_fault(
    lake: Lake, rows: pl.DataFrame, rng: np.random.Generator
) -> None:
    absent = np.sort(rng.choice(np.arange(1, 999), size=20, replace=False)).tolist()

    assert "paging" not in rules(certify(lake, rows.filter(~pl.arange(0, pl.len()).is_in(absent))))


@pytest.mark.parametrize(("last", "grade"), [(104, "usable"), (299, "broken")])
def test_a_price_that_stands_still_without_a_trade_is_told(
    lake: Lake, rows: pl.DataFrame, last: int, grade: str
) -> None:
    price = rows["close"][99]
    still = change(rows, 100, last, open=price, high=price, low=price, close=price, volume=0.0)

    found = certify(lake, still)

    assert found.grade == grade
    assert f"the price stands still for {last - 99} bars without a trade" in found.reasons
    assert found.zero_volume == last - 99


def test_a_few_bars_without_a_trade_are_told(lake: Lake, rows: pl.DataFrame) -> None:
    assert certify(lake, change(rows, 7, 8, volume=0.0)).reasons == ("2 bars without a trade",)


def test_a_placeholder_before_the_first_trade_is_named_with_its_false_return(
    lake: Lake, rows: pl.DataFrame
) -> None:
    price = rows["close"][50] / 2.0
    still = change(rows, 0, 49, open=price, high=price, low=price, close=price, volume=0.0)

    found = certify(lake, still)

    assert (found.grade, rules(found)) == ("usable", ["not traded yet"])
    assert "not traded before 2024-01-03 02:00Z: 50 bars at a placeholder" in found.reasons[0]
    assert "then a false +100 %" in found.reasons[0]


def test_a_flat_tail_says_when_trading_stopped_and_does_not_spoil_what_was_before(
    lake: Lake, rows: pl.DataFrame
) -> None:
    price = rows["close"][699]
    still = change(rows, 700, 999, open=price, high=price, low=price, close=price, volume=0.0)

    found = certify(lake, still)

    assert (found.grade, rules(found)) == ("usable", ["trading stopped"])
    assert "trading stopped after 2024-01-30 03:00Z: 300 bars" in found.reasons[0]
    assert format_instant(found.traded_until_at) == "2024-01-30 03:00Z"


@pytest.mark.parametrize("share", [1.06, 0.94, 1.5, 10.0])
def test_a_close_that_the_next_open_does_not_follow_is_odd(
    lake: Lake, rows: pl.DataFrame, share: float
) -> None:
    price = rows["close"][400] * share
    spiked = change(
        rows, 400, 400, close=price, high=max(price, rows["high"][400]), low=min(price, rows["low"][400])
    )

    found = certify(lake, spiked)

    assert (found.grade, found.reasons) == ("usable", ("1 close that the next open does not follow",))
    assert places(found, "odd") == ["2024-01-17 16:00Z"]


def test_a_bar_ten_times_too_high_is_odd_and_a_level_that_stays_is_a_jump(
    lake: Lake, rows: pl.DataFrame
) -> None:
    tenfold = {c: pl.col(c) * 10.0 for c in ("open", "high", "low", "close")}

    assert certify(lake, change(rows, 400, 401, **tenfold)).reasons == ("1 bar at a false level",)
    assert certify(lake, change(rows, 400, 999, **tenfold)).reasons == ("1 jump between close and open",)


def test_a_crash_with_volume_and_a_path_is_no_error(lake: Lake, rows: pl.DataFrame) -> None:
    fall = np.concatenate([np.zeros(400), np.linspace(0.0, -2.0, 8), np.full(592, -2.0)])
    before = np.concatenate([[0.0], fall[:-1]])
    fallen = rows.with_columns(
        open=pl.col("open") * np.exp(before),
        close=pl.col("close") * np.exp(fall),
        high=pl.max_horizontal(pl.col("high") * np.exp(before), pl.col("close") * np.exp(fall)),
        low=pl.min_horizontal(pl.col("low") * np.exp(fall), pl.col("open") * np.exp(before)),
        volume=pl.col("volume") * np.where(fall - before < 0.0, 30.0, 1.0),
    )

    assert certify(lake, fallen).reasons == ()


def test_a_jump_that_all_coins_share_is_no_error_and_one_that_is_alone_is(
    lake: Lake, simulation: Simulation
) -> None:
    tenth_off = {c: pl.col(c) * 0.9 for c in ("open", "high", "low", "close")}
    coins = [Series("embedded", "bars-1h", f"SIM0{n}USDT") for n in (1, 2, 3)]
    for n, series in enumerate(coins):
        lake.write(series, change(bar_rows(simulation, n, 1_000), 400, 999, **tenth_off))

    shared = [c.reasons for c in check_lake(lake)]
    lake.write(coins[0], bar_rows(simulation, 0, 1_000))
    lake.write(coins[1], bar_rows(simulation, 1, 1_000))
    alone = [c.reasons for c in check_lake(lake)]

    assert shared == [(), (), ()]
    assert alone == [(), (), ("1 jump between close and open",)]


def test_a_close_that_the_mark_price_confirms_is_no_error(lake: Lake, rows: pl.DataFrame) -> None:
    price = rows["close"][400] * 1.3
    spiked = change(rows, 400, 400, close=price, high=price)
    lake.write(Series("embedded", "mark-1h", "SIM01USDT"), spiked.drop("volume"))

    assert certify(lake, spiked).reasons == ()


def test_closes_off_the_mark_price_are_told(lake: Lake, rows: pl.DataFrame) -> None:
    lifted = {c: pl.col(c) * 1.1 for c in ("open", "high", "low", "close")}
    lake.write(Series("embedded", "mark-1h", "SIM01USDT"), rows.drop("volume"))

    found = certify(lake, change(rows, 300, 302, **lifted))

    assert "3 closes off the mark price (mark-1h) by over 1.0 %" in found.reasons


def test_rows_copied_from_earlier_ones_are_told(lake: Lake, rows: pl.DataFrame) -> None:
    values = rows.drop("opened_at")
    copied = pl.concat([values[:500], values[480:490], values[510:]])

    found = certify(lake, pl.concat([rows.select("opened_at"), copied], how="horizontal"))

    assert "10 bars copied from earlier bars" in found.reasons
    assert places(found, "repeated")[0] == "2024-01-21 20:00Z"


def test_traded_bars_stuck_at_one_price_are_told(lake: Lake, rows: pl.DataFrame) -> None:
    price = rows["close"][99]

    found = certify(lake, change(rows, 100, 119, open=price, high=price, low=price, close=price))

    assert "20 traded bars stuck at one price in 1 run" in found.reasons


def test_open_and_close_that_changed_places_break_a_series(lake: Lake, rows: pl.DataFrame) -> None:
    found = certify(lake, change(rows, 200, 299, open=pl.col("close"), close=pl.col("open")))

    assert (found.grade, rules(found)[0]) == ("broken", "swapped")
    assert places(found, "swapped")[0] in {"2024-01-09 06:00Z", "2024-01-09 07:00Z", "2024-01-09 08:00Z"}


def test_more_false_rows_than_a_study_can_bear_break_a_series(lake: Lake, rows: pl.DataFrame) -> None:
    every = pl.arange(0, pl.len()) % 50 == 25
    spiked = rows.with_columns(
        pl.when(every).then(pl.col(c) * 3.0).otherwise(pl.col(c)).alias(c)
        for c in ("open", "high", "low", "close")
    )

    found = certify(lake, spiked)

    assert (found.grade, found.reasons[0]) == ("broken", "20 rows are odd, stuck or copies")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"high": 1.0}, "1 bar with a high below its low"),
        ({"low": -1.0}, "1 bar with a low that is not positive"),
        ({"close": float("nan")}, "1 bar with no close"),
        ({"volume": float("inf")}, "1 bar with an infinite volume"),
    ],
)
def test_what_no_market_can_print_breaks_a_series(
    lake: Lake, rows: pl.DataFrame, values: dict[str, float], reason: str
) -> None:
    found = certify(lake, change(rows, 50, 50, **values))

    assert found.grade == "broken"
    assert reason in found.reasons


def test_rows_that_are_not_those_imported_break_a_series(lake: Lake, rows: pl.DataFrame) -> None:
    lake.write(SERIES, rows)
    metadata = {"longshort.digest": pl.read_parquet_metadata(lake.path(SERIES))["longshort.digest"]}
    rows.with_columns(volume=pl.col("volume") * 2).write_parquet(lake.path(SERIES), metadata=metadata)

    found = check_series(lake, SERIES)

    assert (found.grade, found.reasons) == ("broken", ("the rows are not those that were imported",))


def test_a_file_from_elsewhere_has_no_hash_and_is_usable(lake: Lake, rows: pl.DataFrame) -> None:
    lake.write(SERIES, rows)
    rows.write_parquet(lake.path(SERIES))

    assert check_series(lake, SERIES).reasons == ("no hash on record",)


@pytest.mark.parametrize("body", [b"", b"PAR1 and no more"])
def test_a_file_that_cannot_be_read_is_broken_and_stops_nothing(
    lake: Lake, rows: pl.DataFrame, body: bytes
) -> None:
    lake.write(SERIES, rows)
    lake.write(Series("embedded", "bars-1h", "SIM02USDT"), rows)
    lake.path(SERIES).write_bytes(body)

    assert [c.grade for c in check_lake(lake)] == ["broken", "clean"]


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([0, 1, 2, 2, 3], "1 row with the time of the row before"),
        ([0, 2, 1, 3], "1 row earlier than the row before"),
        ([], "there are no rows"),
    ],
)
def test_times_that_repeat_or_go_back_break_a_series(
    lake: Lake, rows: pl.DataFrame, order: list[int], words: str
) -> None:
    found = certify(lake, rows[order] if order else rows.clear())

    assert (found.grade, found.reasons) == ("broken", (words,))


def test_holes_in_funding_are_counted_and_placed(lake: Lake) -> None:
    hours = [8.0 * k for k in (1, 2, 3, 6, 7)]

    found = certify(lake, events("settled_at", hours, rate=[1e-4] * 5), FUNDING)

    assert (found.grade, found.reasons) == ("usable", ("2 settlements missing in 1 hole",))
    assert (found.missing, places(found, "funding holes")) == (2, ["2024-01-02 08:00Z"])


@pytest.mark.parametrize("cadence", [1, 2, 4])
def test_a_hole_within_a_short_cadence_is_seen(lake: Lake, cadence: int) -> None:
    hours = [float(cadence * k) for k in range(30) if k not in (10, 20)]

    found = certify(lake, events("settled_at", hours, rate=[1e-4] * 28), FUNDING)

    assert found.reasons == ("2 settlements missing in 2 holes",)


def test_a_cadence_that_changes_is_no_hole(lake: Lake) -> None:
    hours = [*np.arange(8, 80, 8), *np.arange(80, 120, 2), *np.arange(120, 160, 4), *np.arange(160, 240, 8)]

    found = certify(lake, events("settled_at", hours, rate=[1e-4] * len(hours)), FUNDING)

    assert found.grade == "clean"


@pytest.mark.parametrize(
    ("rates", "rule", "grade"),
    [
        ([1e-4] * 39 + [0.2], "absurd rates", "usable"),
        ([0.01] * 40, "percent", "broken"),
        ([1e-4] * 39 + [float("nan")], "impossible", "broken"),
    ],
)
def test_rates_that_no_venue_charges_are_told(lake: Lake, rates: list[float], rule: str, grade: str) -> None:
    found = certify(lake, events("settled_at", [8.0 * k for k in range(40)], rate=rates), FUNDING)

    assert (rules(found), found.grade) == ([rule], grade)


def test_open_interest_has_zeros_holes_and_figures_that_stand_still(lake: Lake) -> None:
    hours = [float(h) for h in range(200) if not 50 <= h < 60]
    value = [0.0, *(100.0 + h for h in hours[1:])]
    value[100:130] = [value[100]] * 30

    found = certify(
        lake,
        events("sampled_at", hours, open_interest=value),
        Series("embedded", "open-interest-1h", "SIM01USDT"),
    )

    assert found.reasons == (
        "10 of 200 samples missing in 1 gap, 10 at once at most",
        "the very first value is 0",
        "does not move for up to 1.2 days",
    )


@pytest.mark.parametrize(
    ("offsets_ms", "words"),
    [
        ([1_000] * 5, "all bars open +1 s off the grid: a shifted clock"),
        ([3_600_000 // 2] * 5, "all bars open +1800 s off the grid: a shifted clock"),
        ([0, 3, 0, -5, 0], "2 bars off the grid by up to 5 ms: jitter"),
        ([0, 600_000, 0, 0, 0], "1 bar off the grid"),
    ],
)
def test_a_clock_between_the_full_intervals_is_told(
    lake: Lake, rows: pl.DataFrame, offsets_ms: list[int], words: str
) -> None:
    at = rows[:5]["opened_at"].to_physical() + pl.Series(offsets_ms)

    found = certify(lake, rows[:5].with_columns(opened_at=at.cast(INSTANT)))

    assert (found.grade, found.reasons) == ("broken", (words,))


@pytest.mark.parametrize(("late", "words"), [(1, "1 bar earlier"), (-3, "3 bars later")])
def test_a_series_that_follows_the_others_late_has_a_shifted_clock(lake: Lake, late: int, words: str) -> None:
    market = simulate_market(5, 3_000, seed=3)
    for n in range(5):
        lake.write(Series("embedded", "bars-1h", f"SIM0{n}USDT"), bar_rows(market, n, 3_000))
    shifted = bar_rows(market, 0, 3_000).with_columns(pl.col("opened_at").dt.offset_by(f"{late}h"))
    lake.write(Series("embedded", "bars-1h", "SIM00USDT"), shifted)

    found = check_lake(lake)

    assert [c.grade for c in found] == ["broken", "clean", "clean", "clean", "clean"]
    assert found[0].reasons == (f"the other coins move {words}: a shifted clock",)


def test_a_series_that_ends_long_before_the_others_is_stale(lake: Lake, simulation: Simulation) -> None:
    lake.write(SERIES, bar_rows(simulation, 0, 1_000))
    lake.write(Series("embedded", "bars-1h", "SIM02USDT"), bar_rows(simulation, 1, 2_000))

    reasons = [c.reasons for c in check_lake(lake)]

    assert reasons == [("ends 2024-02-11 15:00Z, 41 days before others of its kind",), ()]


def test_certificates_are_kept_until_the_rows_change(lake: Lake, rows: pl.DataFrame) -> None:
    certify(lake, rows)
    first = certificates_of(lake, [SERIES])
    path = lake.root / "embedded" / FILE
    marked = path.read_text().replace('"rows": 1000', '"rows": 999')
    path.write_text(marked)

    again = certificates_of(lake, [SERIES])
    lake.write(SERIES, rows[:900])
    changed = certificates_of(lake, [SERIES])

    assert [c.rows for c in (*first, *again, *changed)] == [1_000, 999, 900]


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The symbols of the series that were looked at, in order."""
    seen: list[str] = []

    def watched(lake: Lake, series: Series, sessions: str = "") -> Examined:
        seen.append(series.symbol)
        return examine(lake, series, sessions)

    monkeypatch.setattr("longshort.data.certificate.certify.examine", watched)
    return seen


def test_a_certificate_holds_as_long_as_all_that_it_was_judged_against(
    lake: Lake, simulation: Simulation, looked_at: list[str]
) -> None:
    other, mark = (Series("embedded", kind, "SIM02USDT") for kind in ("bars-1h", "mark-1h"))
    lake.write(SERIES, bar_rows(simulation, 0, 1_000))
    lake.write(other, bar_rows(simulation, 1, 1_000))
    certificates_of(lake, [SERIES])
    certificates_of(lake, [SERIES, other])
    lake.write(mark, bar_rows(simulation, 1, 1_000).drop("volume"))
    certificates_of(lake, [SERIES])
    first = list(looked_at)

    lake.write(other, bar_rows(simulation, 1, 2_000))
    (found,) = certificates_of(lake, [SERIES])

    assert first == ["SIM01USDT", "SIM02USDT"]
    assert looked_at[2:] == ["SIM01USDT", "SIM02USDT"]
    assert rules(found) == ["stale"]


def test_a_lake_that_cannot_be_written_is_certified_all_the_same(
    lake: Lake, rows: pl.DataFrame, looked_at: list[str]
) -> None:
    lake.write(SERIES, rows)
    (lake.root / "embedded" / FILE).mkdir()  # root may write anywhere, but no file in place of a folder

    grades = [certificates_of(lake, [SERIES])[0].grade for _ in range(2)]

    assert grades == ["clean", "clean"]
    assert looked_at == ["SIM01USDT", "SIM01USDT"]


def test_a_study_s_own_calendar_judges_for_it_alone(lake: Lake, rows: pl.DataFrame) -> None:
    days = pl.Series([START // 1_000_000 + 86_400_000 * d for d in (1, 2, 3, 4, 7, 8)]).cast(INSTANT)
    stock = Series("mine", "bars-1d", "AAPL")
    lake.write(stock, rows[:6].with_columns(opened_at=days))

    named = certificates_of(lake, [stock], calendar="NYSE")
    around_the_clock = certificates_of(lake, [stock])

    assert [(c.calendar, c.grade) for c in (*named, *around_the_clock)] == [
        ("XNYS", "clean"),
        ("24/7", "broken"),
    ]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": 1, "series": {}}', '{"version": 2, "series": {"a": 3}}']
)
def test_a_damaged_record_of_certificates_is_made_again(lake: Lake, rows: pl.DataFrame, text: str) -> None:
    lake.write(SERIES, rows)
    (lake.root / "embedded" / FILE).write_text(text)

    assert [c.grade for c in certificates_of(lake, [SERIES])] == ["clean"]
    assert json.loads((lake.root / "embedded" / FILE).read_text())["series"][str(SERIES)]["rows"] == 1_000


def test_a_broken_series_is_refused_unless_it_is_accepted_by_name(lake: Lake, rows: pl.DataFrame) -> None:
    broken = certify(lake, change(rows, 50, 50, high=1.0))

    with pytest.raises(DataError, match=r"SIM01USDT: graded broken: 1 bar with a high below its low\."):
        refuse_broken([broken], ())
    for name in ("SIM01USDT", "sim01/usdt:usdt", "embedded/bars-1h/SIM01USDT"):
        refuse_broken([broken], (name,))


def test_a_certificate_survives_json(lake: Lake, rows: pl.DataFrame) -> None:
    found = certify(lake, change(rows.filter(pl.arange(0, pl.len()) != 5), 50, 50, high=1.0))

    assert from_json(json.loads(json.dumps(to_json(found)))) == found


# The command.


def say(capsys: pytest.CaptureFixture[str], **options: object) -> tuple[bool, str]:
    given = {"lake": "", "venue": "", "as_json": False} | options
    fine = check_command(**given)  # pyright: ignore[reportArgumentType]
    return fine, capsys.readouterr().out


@pytest.fixture
def here(lake: Lake, rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a lake of a clean, a holed and a broken series."""
    lake.write(Series("bybit", "bars-1h", "ADAUSDT"), rows)
    lake.write(Series("bybit", "bars-1h", "BNBUSDT"), rows.filter(pl.arange(0, pl.len()) % 100 != 50))
    lake.write(Series("mine", "bars-1h", "BTCUSDT"), rows.filter(pl.arange(0, pl.len()) % 10 != 5))
    monkeypatch.chdir(lake.root.parent)
    return lake.root.parent


def test_check_prints_the_table_the_places_and_what_to_do_next(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fine, said = say(capsys)

    lines = said.splitlines()
    at = lines.index("bybit/bars-1h/BNBUSDT")
    assert not fine
    assert lines[at + 1 : at + 3] == [
        "  usable  10 of 1,000 bars missing in 10 gaps",
        "          first: 2024-01-03 02:00Z, 2024-01-07 06:00Z, 2024-01-11 10:00Z, ...",
    ]
    assert lines.index("mine/bars-1h/BTCUSDT") < at  # the broken one comes first
    assert "3 series: 1 clean, 1 usable, 1 broken." in lines
    assert lines[-2:] == [
        "next  `longshort check --refetch --venue bybit` asks bybit for 10 missing rows in 1 series: "
        "nobody did so far.",
        "      No exchange of ccxt is called mine, so 100 missing rows in 1 series can only come from files: "
        "`longshort import`.",
    ]


def test_check_says_what_studies_beside_the_lake_refuse_and_accept(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, accept in (("bold", '["BTC/USDT"]'), ("wary", '["OTHER"]')):
        (here / name).mkdir()
        (here / name / "study.toml").write_text(f'[data]\nvenue = "mine"\naccept_broken = {accept}\n')
    (here / "torn").mkdir()
    (here / "torn" / "study.toml").write_text("[data\n")

    _, said = say(capsys)
    _, told = say(capsys, as_json=True)

    assert "Study bold reads 1 of these series: 1 broken." in said
    assert "Study bold accepts mine/bars-1h/BTCUSDT, though it is broken." in said
    assert (
        'Study wary refuses mine/bars-1h/BTCUSDT: mend it, or write data.accept_broken = ["OTHER", "BTCUSDT"].'
        in said
    )
    assert [(e["accepted_by"], e["refused_by"]) for e in json.loads(told)] == [
        ([], []),
        ([], []),
        (["bold"], ["wary"]),
    ]


def test_clean_series_of_a_large_lake_share_a_line(
    lake: Lake, rows: pl.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(41):
        lake.write(Series("bybit", "bars-1h", f"C{n:02}USDT"), rows[:100])

    fine, said = say(capsys, lake=str(lake.root))

    assert fine
    assert "41 symbols" in said
    assert "C01USDT" not in said
    assert "41 series: 41 clean." in said
    assert said.splitlines()[-1] == "next  `longshort init NAME` writes a study about these bars."


@pytest.mark.parametrize(
    ("venue", "message"),
    [("", "nothing to check. Fill the lake"), ("okx", "nothing of okx to check. The lake holds bybit.")],
)
def test_an_empty_lake_and_an_unknown_venue_are_refused(
    lake: Lake, rows: pl.DataFrame, venue: str, message: str
) -> None:
    lake.root.mkdir()
    for kind in ["bars-1h"] * bool(venue):
        lake.write(Series("bybit", kind, "ADAUSDT"), rows)

    with pytest.raises(DataError, match=message):
        check_command(lake=str(lake.root), venue=venue, as_json=False)


RAW = {
    "bitget_BTCUSDT_perp_1h_raw": ["missing", "paging", "not traded yet", "silent"],
    "bitget_BNBUSDT_perp_1h_raw": ["missing", "paging", "not traded yet"],
    "bitget_ETHUSDT_perp_1h_raw": ["missing", "paging", "silent"],
    "bitget_SOLUSDT_perp_1h_raw": ["missing", "paging"],
    "binance_FTTUSDT_perp_1h_delisted_raw": ["trading stopped"],
    "binance_WAVESUSDT_perp_1h_delisted_raw": ["trading stopped"],
}
NAMED = {
    "bitget_BTCUSDT_perp_1h_raw": [
        "196 of 39,408 bars missing in 196 gaps",
        "1 bar is missing after every 200: a paging fault of the download; fetch it again",
        "not traded before 2021-01-02 03:00Z: 27 bars at a placeholder of 23301, then a false +26 %; they count as "
        "not listed",
    ],
    "bitget_BNBUSDT_perp_1h_raw": [
        "196 of 39,408 bars missing in 196 gaps",
        "1 bar is missing after every 200: a paging fault of the download; fetch it again",
        "not traded before 2021-08-01 16:00Z: 5,078 bars at a placeholder of 19.36, then a false +1645 %; they count "
        "as not listed",
    ],
    "bitget_SOLUSDT_perp_1h_raw": ["172 of 34,534 bars missing in 172 gaps"],
    "binance_FTTUSDT_perp_1h_delisted_raw": [
        "trading stopped after 2022-11-14 04:00Z: 23,035 bars repeat 1.59, which is no price"
    ],
    "binance_WAVESUSDT_perp_1h_delisted_raw": [
        "trading stopped after 2024-06-11 08:00Z: 9,231 bars repeat 1.3355, which is no price"
    ],
}


@pytest.mark.parametrize("name", RAW)
def test_the_defects_of_real_files_are_found_and_nothing_else(real_data: Path, lake: Lake, name: str) -> None:
    import_files([real_data / "raw" / f"{name}.parquet"], lake, ImportOptions(venue="raw"))

    found = check_lake(lake)[0]

    assert rules(found) == RAW[name]
    assert set(NAMED.get(name, [])) <= set(found.reasons)
    assert found.grade == "usable"


def test_bitfinex_lacks_minutes_and_the_unstated_venue_lacks_none(real_data: Path, lake: Lake) -> None:
    files = ["bitfinex_BTCUSD_spot_1m_2018_2019_raw", "unstated_venue_BTC-PERP_1m_2022-01_raw"]
    import_files([real_data / "raw" / f"{f}.parquet" for f in files], lake, ImportOptions(venue="raw"))

    unstated, bitfinex = check_lake(lake)

    assert "17,974 of 1,051,200 bars missing in 13,947 gaps, 197 at once at most" in bitfinex.reasons
    assert (bitfinex.grade, max(g.missing for g in bitfinex.gaps) > 150) == ("usable", True)
    assert (unstated.rows, unstated.missing) == (45_031, 0)
    assert (format_instant(unstated.first_at), format_instant(unstated.last_at)) == (
        "2021-12-31 23:01Z",
        "2022-02-01 05:31Z",
    )


@pytest.mark.parametrize("month", ["2020-03", "2021-05", "2022-11"])
def test_crashes_raise_no_outlier_in_clean_files(real_market: list[Certificate], month: str) -> None:
    found = [at[:7] for c in real_market for at in places(c, "odd")]

    assert month not in found
    assert len(real_market) == 15 + 20


def test_clean_files_are_clean(real_market: list[Certificate]) -> None:
    dirty = {str(c.series): c.reasons for c in real_market if c.grade != "clean"}

    assert dirty == {"binanceusdm/bars-4h/ADAUSDT": ("1 wick without volume",)}


@pytest.fixture(scope="module")
def real_market(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Certificate]:
    lake = Lake(tmp_path_factory.mktemp("clean") / "lake")
    files = [*(real_data / "ohlcv_1h").glob("*.parquet"), *(real_data / "ohlcv_4h").glob("*.parquet")]
    import_files(sorted(files), lake, ImportOptions(venue="binanceusdm"))
    return check_lake(lake)


def test_real_funding_has_no_hole_though_its_cadence_changed(real_data: Path, lake: Lake) -> None:
    import_files([real_data / "funding" / "binance_SOLUSDT_funding.parquet"], lake, ImportOptions(venue="x"))

    assert [c.grade for c in check_lake(lake)] == ["clean"]


@pytest.mark.parametrize(
    ("coin", "reasons"),
    [
        ("BTCUSDT", ("359 of 43,360 samples missing in 1 gap, 359 at once at most",)),
        ("ETHUSDT", ("the very first value is 0",)),
        ("ADAUSDT", ()),
    ],
)
def test_real_open_interest_has_the_defects_that_are_known(
    real_data: Path, lake: Lake, coin: str, reasons: tuple[str, ...]
) -> None:
    rows = pl.read_parquet(real_data / "open_interest" / f"bybit_{coin}_oi_1h.parquet")
    rows = rows.select(pl.col("ts").cast(INSTANT).alias("sampled_at"), "open_interest")

    assert certify(lake, rows, Series("bybit", "open-interest-1h", coin)).reasons == reasons


def test_planted_defects_are_found_and_clean_bars_raise_no_alarm(real_data: Path) -> None:
    counts = certify_planted(112, seed=7, data=real_data, lengths=("1h", PANEL))

    assert counts.recall >= 0.95, counts.table()
    assert counts.false_per_100_000 <= 1.0, counts.false_alarms
