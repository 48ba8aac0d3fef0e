"""Pages and pictures: every number of a record appears, every text is escaped, no network is asked."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort.base.calendar import find_calendar
from longshort.base.clock import DAY, HOUR, Interval, format_instant, parse_instant
from longshort.base.errors import DataError
from longshort.base.instrument import Costs
from longshort.data.bars import Bars, Change, Origin
from longshort.data.simulator import simulate_market
from longshort.models.forecast import Forecast, StudentT
from longshort.policy.exposure import Exposure
from longshort.policy.ledger import Ledger, run_ledger
from longshort.study.account.dissection import standing
from longshort.study.account.tearsheet import (
    TearSheet,
    drawdown_spells,
    figures,
    monthly_returns,
    returns_of,
    won_share,
)
from longshort.study.report import Comparison, Curve, FoldSpan, Profit, Report, data_notes
from longshort.study.verdict import METRICS, Margins, judge
from longshort.web.charts import bars as bar_chart
from longshort.web.charts import coverage_dots, fold_strips, pit_histogram
from longshort.web.fan import Fan, fan_chart, fan_of, render_forecast
from longshort.web.forests import Interval as Estimate
from longshort.web.forests import forest
from longshort.web.formats import day, fixed, percent, skill
from longshort.web.lines import Axis, Line, line_chart, needs_log
from longshort.web.report import render_report
from longshort.web.scales import Scale, path, thin, ticks, time_ticks
from longshort.web.svg import spread
from longshort.web.tables import score_views
from longshort.web.tearsheet import render_tearsheet
from longshort.web.words import headline

HORIZONS = (1, 4, 24)
OPPONENTS = ("expanding-t", "ewma-t", "har-range")
COINS = tuple(f"{name}USDT" for name in ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "LINK", "TRX"))
MARGINS = {"margin_crps_percent": 0.2, "margin_direction_points": 0.5, "margin_bps_per_trade": 1.0}
STRATEGIES = (("lstm", 4e-5, 1.6e-3), ("buy and hold", 7e-5, 5e-3), ("momentum", 1e-5, 2.5e-3))
RIVALS = {
    "accuracy": ("majority",),
    "brier": ("majority",),
    "net_return": ("cash", "buy and hold", "momentum"),
}
HOSTILE = '<script>alert("x")</script> & "quoted"'
MARKUP = re.compile(r"<(svg)\b.*?</svg>", re.DOTALL)
SKILLS = {  # per metric: the skill against the easiest opponent, and how wide its interval is
    "log_score": (0.08, 0.012),
    "crps": (3.1, 0.5),
    "qlike": (0.11, 0.06),
    "accuracy": (0.4, 1.1),
    "brier": (0.03, 0.08),
    "net_return": (0.06, 0.30),
}


def sample_report(bars: int = 9_000) -> Report:
    rng = np.random.default_rng(5)
    start = parse_instant("2023-06-01")
    closed_at = start + HOUR * np.arange(1, bars + 1, dtype=np.int64)
    comparisons = tuple(sample_comparisons(rng))
    names = ("lstm", *OPPONENTS, "previous value")
    return Report(
        title="Walk-forward: 9 coins, 1h bars, 2023-06-01 to 2024-12-31",
        created_at=parse_instant("2026-11-20T12:34Z"),
        seconds=187.4,
        settings={
            "data": {"source": "lake", "symbols": ["BTCUSDT", "ETHUSDT"], "since": ""},
            "model": {"hidden": 48, "dropout": 0.25, "seeds": [1, 2, 3]},
            "report": MARGINS,
        },
        hashes={"data": "9f0c1d2e3a4b5c6d", "study": "0123456789abcdef"},
        versions={"longshort": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
        symbols=COINS,
        interval="1h",
        folds=tuple(sample_fold(start, k) for k in range(5)),
        seeds=(1, 2, 3),
        horizons=HORIZONS,
        model="lstm",
        opponents=(*OPPONENTS, "majority", "cash", "buy and hold", "momentum"),
        verdicts=judge(comparisons, margins=Margins(trades_per_bar=0.02)),
        comparisons=comparisons,
        scores={name: {h: sample_scores(rng, k, h) for h in HORIZONS} for k, name in enumerate(names)},
        coverage={name: {h: sample_coverage(rng, k) for h in HORIZONS} for k, name in enumerate(names[:4])},
        pit={h: tuple((1 + 0.15 * rng.standard_normal(20)) / 20) for h in HORIZONS},
        curves=tuple(
            sample_curve(rng, name, closed_at, drift, spread_) for name, drift, spread_ in STRATEGIES
        ),
        profits=tuple(
            Profit(
                name=name,
                net_return=0.3456 - 0.1 * k,
                sharpe=1.23 - 0.4 * k,
                max_drawdown=0.1234 + 0.1 * k,
                trades=1_234 + k,
                turnover=98.7 - k,
                fees=0.0493,
                slippage=0.0099,
                funding=-0.0021,
                break_even_bps=41.5,
            )
            for k, (name, _, _) in enumerate(STRATEGIES)
        ),
        trials=7,
        notes=("Direction: hit rates near 50 % are what an efficient market looks like.",),
    )


def sample_comparisons(rng: np.random.Generator) -> list[Comparison]:
    found: list[Comparison] = []
    for metric, (level, width) in SKILLS.items():
        horizons = (4,) if metric == "net_return" else HORIZONS
        for horizon in horizons:
            for k, opponent in enumerate(RIVALS.get(metric, OPPONENTS)):
                half = width / 2 * (1 + 0.3 * np.sqrt(horizon))
                value = float(level / (1 + 1.1 * k) / horizon**0.4 + 0.1 * half * rng.standard_normal())
                p_value = float(np.clip(np.exp(-((max(value, 0) / half * 1.96) ** 2) / 1.7) / 2, 1e-9, 0.9))
                told = METRICS[metric]
                found.append(
                    Comparison(
                        question=told.question,
                        horizon_bars=horizon,
                        opponent=opponent,
                        metric=metric,
                        skill=value,
                        unit=told.unit,
                        ci95=(value - half, value + half),
                        p_value=p_value,
                        n_instants=27_000,
                        n_coins=9,
                    )
                )
    return found


def sample_scores(rng: np.random.Generator, rank: int, horizon: int) -> dict[str, float]:
    size, wobble = 0.005 * np.sqrt(horizon), 1 + 0.01 * rank + 0.003 * rng.standard_normal()
    return {
        "mae": size * wobble,
        "mase": 0.99 * wobble,
        "rmse": 1.6 * size * wobble,
        "crps": 0.72 * size * wobble,
        "log_score": -3.9 + 0.02 * rank,
        "qlike": -8.1 + 0.05 * rank,
        "brier": 0.2497 + 0.0002 * rank,
        "pinball": 0.3 * size * wobble,
        "winkler": 5.1 * size * wobble,
        "accuracy": 0.512 - 0.002 * rank,
        "majority_accuracy": 0.507,
        "n": 243_000.0,
        "n_direction": 242_120.0,
    }


def sample_coverage(rng: np.random.Generator, rank: int) -> dict[float, float]:
    return {
        level: level + 0.01 * rank + 0.004 * float(rng.standard_normal()) for level in (0.5, 0.8, 0.9, 0.95)
    }


def sample_fold(start: int, k: int) -> FoldSpan:
    test_from = start + 70 * k * DAY
    return FoldSpan(
        train_from=start - 700 * DAY,
        train_until=test_from - 130 * DAY,
        validation_from=test_from - 129 * DAY,
        validation_until=test_from - DAY,
        test_from=test_from,
        test_until=test_from + 70 * DAY - HOUR,
        gap_bars=23,
    )


def sample_curve(
    rng: np.random.Generator, name: str, closed_at: np.ndarray, drift: float, spread_: float
) -> Curve:
    steps = drift + spread_ * rng.standard_t(4, len(closed_at)) / np.sqrt(2)
    return Curve(name=name, closed_at=closed_at, equity=np.exp(np.cumsum(steps)))


def bare_report() -> Report:
    empty = {"folds": (), "seeds": (), "verdicts": (), "comparisons": (), "curves": (), "profits": ()}
    nothing = {
        "scores": {},
        "coverage": {},
        "pit": {},
        "hashes": {},
        "versions": {},
        "settings": {},
        "opponents": (),
    }
    note = "Profit is not computed: the funding of BTCUSDT is unknown."
    return replace(sample_report(bars=10), **empty, **nothing, notes=(note,))


def sample_sheet(bars: int = 9_000) -> TearSheet:
    rng = np.random.default_rng(8)
    market = simulate_market(4, bars, seed=3).bars
    wishes = np.where(rng.random((bars, 4)) < 0.01, rng.normal(0.05, 0.2, (bars, 4)), np.nan)
    holding = np.full((bars, 4), np.nan)
    holding[0] = 0.2
    rival = account(market, holding)
    return TearSheet(
        title="Backtest of the study demo",
        created_at=parse_instant("2026-11-20T12:34Z"),
        ledger=account(market, wishes),
        bars=market,
        rivals=(
            Curve(
                name="buy and hold", closed_at=market.closed_at, equity=rival.equity / rival.starting_balance
            ),
        ),
        settings={"policy": {"volatility_target": 0.2}},
        hashes={"data": "9f0c1d2e3a4b5c6d"},
        versions={"longshort": "0.1.0"},
    )


def account(market: Bars, wishes: np.ndarray) -> Ledger:
    return run_ledger(
        market, Exposure(closed_at=market.closed_at, symbols=market.symbols, target=wishes), Costs()
    )


def sample_forecast(bars: Bars, model: str = "lstm") -> Forecast:
    roots = np.sqrt(np.array(HORIZONS, dtype=np.float64))
    scale = 0.004 * roots[None, None, :] * (1 + 0.3 * np.arange(len(bars.symbols)))[None, :, None]
    law = StudentT(loc=0.05 * scale, scale=scale, df=np.full_like(scale, 4.0))
    return Forecast(
        model=model, closed_at=bars.closed_at[-1:], symbols=bars.symbols, horizons=HORIZONS, law=law
    )


def words_of(page: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)))


def parsed(drawing: str) -> ET.Element:
    return ET.fromstring(drawing)  # noqa: S314 our own drawing


def drawings(page: str) -> list[ET.Element]:
    return [parsed(found.group(0)) for found in MARKUP.finditer(page)]


class Balance(HTMLParser):
    """Which elements are still open at the end of a page."""

    VOID = frozenset({"meta", "br", "path", "rect", "circle", "line"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += [tag] if tag not in self.VOID else []

    def handle_endtag(self, tag: str) -> None:
        assert tag in self.VOID or self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element that is closed where it begins leaves nothing open."""


@pytest.fixture(scope="module")
def report() -> Report:
    return sample_report(bars=3_000)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render_report(report)


@pytest.fixture(scope="module")
def sheet() -> TearSheet:
    return sample_sheet(bars=4_000)


@pytest.fixture(scope="module")
def tear_page(sheet: TearSheet) -> str:
    return render_tearsheet(sheet)


@pytest.fixture(scope="module")
def market() -> Bars:
    return simulate_market(3, 300, seed=4).bars


@pytest.fixture(scope="module")
def fan(market: Bars) -> Fan:
    return fan_of(sample_forecast(market), market, "SIM02USDT")


@pytest.fixture(scope="module")
def forecast_page(market: Bars) -> str:
    return render_forecast(sample_forecast(market), market, title="Now", created_at=0)


@pytest.fixture(scope="module")
def every_page(page: str, tear_page: str, forecast_page: str) -> list[str]:
    return [page, tear_page, forecast_page, render_report(bare_report())]


def test_no_page_asks_a_network_for_anything(every_page: list[str]) -> None:
    text = "".join(every_page)

    assert re.findall(r"(?i)https?:|//[a-z]|@import|url\(|<link|<img|<iframe|src=|srcset", text) == []
    assert text.count("default-src 'none'") == len(every_page)


def test_every_element_of_a_page_is_closed(every_page: list[str]) -> None:
    balances = [Balance() for _ in every_page]
    for balance, page in zip(balances, every_page, strict=True):
        balance.feed(page)

    assert [balance.open for balance in balances] == [[]] * len(every_page)


def test_every_drawing_is_xml_with_a_description(every_page: list[str]) -> None:
    charts = [d for page in every_page for d in drawings(page) if d.get("role") == "img"]

    assert len(charts) > 30
    assert all(chart.get("aria-label") and chart.get("viewBox") for chart in charts)
    assert "nan" not in " ".join(
        v for c in charts for e in c.iter() for k, v in e.items() if k != "aria-label"
    )


def test_a_report_and_a_tear_sheet_of_years_of_hours_stay_below_600_kilobytes() -> None:
    assert len(render_report(sample_report(bars=40_000)).encode()) < 600_000
    assert len(render_tearsheet(sample_sheet(bars=40_000)).encode()) < 600_000


def test_the_verdict_comes_before_everything_else(page: str) -> None:
    sections = re.findall(r'<section id="(\w+)"', page)

    assert sections == [
        "verdict",
        "notes",
        "skill",
        "calibration",
        "scores",
        "money",
        "folds",
        "data",
        "settings",
    ]


def test_every_comparison_and_verdict_of_the_record_is_on_the_page(report: Report, page: str) -> None:
    text = words_of(page)
    told = [skill(c.skill, c.ci95, "") for c in report.comparisons]
    hardest = [skill(v.hardest.skill, v.hardest.ci95, v.hardest.unit) for v in report.verdicts if v.hardest]

    assert [t for t in told + hardest if t not in text] == []
    assert [v.word.value for v in report.verdicts] == re.findall(
        r"(BEATS|NO EDGE|INCONCLUSIVE)", matrix_of(page)
    )


def matrix_of(page: str) -> str:
    return words_of(page[page.index('class="matrix"') : page.index('class="words"')])


def test_every_score_and_coverage_of_the_record_is_on_the_page(report: Report, page: str) -> None:
    text = words_of(page)
    scores = [
        told_score(metric, horizon, value)
        for by_horizon in report.scores.values()
        for horizon, scores in by_horizon.items()
        for metric, value in scores.items()
    ]
    covered = [
        fixed(100 * v, 1) for h in report.coverage.values() for levels in h.values() for v in levels.values()
    ]

    assert len(scores) == 5 * 3 * 13
    assert [s for s in scores + covered if f" {s} " not in text] == []


DECIMALS = {  # of each score at 1, 4 and 24 bars ahead: four significant digits of the median
    "mae": (2, 1, 1), "rmse": (2, 1, 1), "crps": (2, 2, 1), "pinball": (2, 2, 2), "winkler": (1, 1, 0),
    "log_score": (3, 3, 3), "qlike": (3, 3, 3), "brier": (4, 4, 4), "mase": (3, 3, 3),
    "accuracy": (2, 2, 2), "majority_accuracy": (2, 2, 2), "n": (0, 0, 0), "n_direction": (0, 0, 0),
}  # fmt: skip
SCALES = dict.fromkeys(("mae", "rmse", "crps", "pinball", "winkler"), 1e4) | {
    "accuracy": 100.0,
    "majority_accuracy": 100.0,
}


def told_score(metric: str, horizon: int, value: float) -> str:
    return fixed(SCALES.get(metric, 1) * value, DECIMALS[metric][HORIZONS.index(horizon)])


def test_every_sum_of_money_setting_hash_and_seed_is_on_the_page(report: Report, page: str) -> None:
    text = words_of(page)
    money = [
        text_
        for p in report.profits
        for text_ in (
            fixed(100 * p.net_return, sign=True),
            fixed(p.sharpe),
            fixed(100 * p.max_drawdown),
            fixed(100 * p.fees),
            f"{p.trades:,}",
            fixed(100 * p.slippage),
            fixed(100 * p.funding),
            fixed(p.break_even_bps, 1),
        )
    ]
    settings = ["hidden 48", "dropout 0.25", "symbols BTCUSDT, ETHUSDT", "since none", "seeds 1, 2, 3"]
    provenance = [*report.hashes.values(), "torch 2.13.0", "2026-11-20 12:34Z", "187.4"]

    assert [t for t in [*money, *settings, *provenance, *report.notes] if t not in text] == []
    assert "5.71 % in all" in text


def test_every_fold_is_drawn_with_its_dates(report: Report, page: str) -> None:
    titles = " ".join(e.text or "" for d in drawings(page) for e in d.iter() if e.tag == "title")

    assert [day(f.test_from) for f in report.folds if f"test: {day(f.test_from)}" not in titles] == []
    assert titles.count("gap: 23 bars") == 2 * len(report.folds)
    assert titles.count("validation: ") == 2 * len(report.folds)


def test_the_best_score_of_each_column_is_marked_and_nothing_else(report: Report) -> None:
    own = {"crps": 0.0041, "accuracy": 0.49, "n": 500.0, "majority_accuracy": 0.51}
    other = {"crps": 0.0043, "accuracy": 0.52, "n": 500.0, "majority_accuracy": 0.51}
    coverage = {"lstm": {1: {0.9: 0.93}}, "ewma-t": {1: {0.9: 0.88}}}
    (table,) = score_views(
        replace(report, scores={"ewma-t": {1: other}, "lstm": {1: own}}, coverage=coverage)
    )

    assert [(head.name.split("\N{NO-BREAK SPACE}")[0], head.unit) for head in table.heads] == [
        ("model", ""), ("CRPS", "bp"), ("accuracy", "%"), ("majority accuracy", "%"), ("coverage of 90 %", "%"),
        ("cells", ""),
    ]  # fmt: skip
    assert [row.cells[0] for row in table.rows] == ["lstm", "ewma-t"]
    assert table.rows[0].cells[1:] == ("41.00", "49.00", "51.00", "93.00", "500")
    assert [row.best for row in table.rows] == [{1}, {2, 4}]
    assert [row.own for row in table.rows] == [True, False]


def test_the_table_of_money_has_each_figure_in_its_own_column(page: str) -> None:
    money = page[page.index('id="money"') :]
    head = [words_of(h).strip() for h in re.findall(r"<th[^>]*>(.*?)</th>", money)[:11]]
    row = re.findall(r'<tr class="own"><th scope="row">lstm</th>(.*?)</tr>', money)[0]
    cells = [words_of(cell) for cell in re.findall(r"<td>(.*?)</td>", row)]

    assert head[1:] == [
        "net return %",
        "Sharpe yearly",
        "max drawdown %",
        "trades",
        "turnover \N{MULTIPLICATION SIGN} equity",
        "fees %",
        "slippage %",
        "funding %",
        "all costs %",
        "break-even bp",
    ]
    assert cells == [
        "+34.56",
        "1.23",
        "12.34",
        "1,234",
        "98.70",
        "4.93",
        "0.99",
        "\N{MINUS SIGN}0.21",
        "5.71",
        "41.5",
    ]


def test_the_headline_claims_an_edge_only_where_the_word_is_beats(report: Report) -> None:
    lost = replace(report, verdicts=tuple(v for v in report.verdicts if v.question != "density"))

    assert headline(report) == (
        "It beats every opponent on density (1 and 4 bars ahead); "
        "no proof of an edge in volatility, direction or profit."
    )
    assert headline(lost) == "It does not beat its opponents on any question."
    assert headline(bare_report()) == "No verdict: nothing was compared."


def test_an_opened_holdout_is_said_loudly(report: Report) -> None:
    opened = words_of(render_report(replace(report, holdout=True, holdout_openings=2)))

    assert "sealed holdout , opened twice" in opened
    assert "has been opened twice. These figures were measured on it." in opened


def test_a_report_without_evidence_says_what_was_not_computed_and_why() -> None:
    text = words_of(render_report(bare_report()))

    assert text.count("Not computed.") == 6
    assert "Money Not computed. Profit is not computed: the funding of BTCUSDT is unknown." in text


@pytest.mark.parametrize(
    "part", ["verdicts", "comparisons", "curves", "profits", "folds", "pit", "coverage", "scores"]
)
def test_a_report_can_lack_any_one_part(report: Report, part: str) -> None:
    without = {"pit": {}, "coverage": {}, "scores": {}}.get(part, ())

    assert "</html>" in render_report(replace(report, **{part: without}))


def test_numbers_that_do_not_exist_are_said_to_be_missing(report: Report) -> None:
    nan = float("nan")
    unknown = replace(
        report.comparisons[0], skill=nan, ci95=(nan, nan), p_value=nan, reason="too few instants"
    )
    profit = replace(report.profits[0], funding=nan)
    text = words_of(
        render_report(replace(report, comparisons=(unknown, *report.comparisons[1:]), profits=(profit,)))
    )

    assert "1 could not be computed" in text
    assert "Not known: funding." in text
    assert " nan" not in text.lower()


ORIGINS = (
    Origin(
        symbol="BTCUSDT", kind="bars-1h", grade="clean", rows=21_888, missing=0, digest="0a1b2c3d4e5f6071"
    ),
    Origin(symbol="BTCUSDT", kind="funding", grade="clean", rows=2_736, missing=0, digest="1a1b2c3d4e5f6071"),
    Origin(
        symbol="BNBUSDT",
        kind="bars-1h",
        grade="usable",
        rows=39_212,
        missing=196,
        findings=("196 of 39,408 bars missing in 196 gaps", "1 bar is missing after every 200"),
        digest="2a1b2c3d4e5f6071",
    ),
    Origin(symbol="XRPUSDT", kind="bars-1h", grade="broken", rows=77, missing=3, findings=(HOSTILE,)),
)
CHANGES = (
    Change(
        symbol="BNBUSDT", reason="before the first trade: absent", bars=5_078, closed_at=(0, HOUR, 2 * HOUR)
    ),
)


def with_data(report: Report) -> Report:
    return replace(report, origins=ORIGINS, changes=CHANGES)


def test_the_data_of_a_report_has_every_series_and_every_change(report: Report) -> None:
    page = render_report(with_data(report))
    text = words_of(page).partition(" Data ")[2]

    for origin in ORIGINS:
        row = f"{origin.symbol} {origin.kind} {origin.grade} {origin.rows:,} {origin.missing:,}"
        assert f"{row} {' '.join(origin.findings) or 'nothing'} {origin.digest or 'none'}" in text
    assert "4 series of the lake: 1 broken, 1 usable and 2 clean." in text
    assert "BNBUSDT before the first trade: absent 5,078 1970-01-01 00:00Z, 1970-01-01 01:00Z" in text
    assert "9f0c1d2e3a4b5c6d" in text
    assert page.count("<script>") == 1


def test_of_many_series_those_with_findings_come_first_and_none_is_left_out(report: Report) -> None:
    many = (*ORIGINS, *(replace(ORIGINS[0], symbol=f"C{n}USDT") for n in range(40)))
    page = render_report(replace(report, origins=many))
    shown, _, all_of_them = page.partition("All 44 series")

    assert re.findall(r'<th scope="row">(\w+USDT)</th>', shown) == ["BNBUSDT", "XRPUSDT"]
    assert len(re.findall(r'<th scope="row">\w+USDT</th>', all_of_them)) == 44


@pytest.mark.parametrize("grade", ["usable", "broken"])
def test_tear_sheet_and_forecast_name_the_worst_grade(sheet: TearSheet, market: Bars, grade: str) -> None:
    origins = tuple(o for o in ORIGINS if o.grade in ("clean", grade))
    told = replace(market, origins=origins, changes=CHANGES)
    pages = [
        render_tearsheet(replace(sheet, bars=replace(sheet.bars, origins=origins, changes=CHANGES))),
        render_forecast(sample_forecast(market), told, title="Now", created_at=0),
    ]

    words = {
        "usable": "1 of 3 series is not clean but usable: BNBUSDT",
        "broken": "1 of 3 series is broken, and accepted",
    }
    assert all(words[grade] in words_of(page) for page in pages)
    assert all("Cleaning changed 5,078 bars: BNBUSDT." in words_of(page) for page in pages)
    assert told.grade == grade


def test_clean_data_needs_no_note(tear_page: str, forecast_page: str) -> None:
    assert data_notes(ORIGINS[:2]) == []
    assert "Read this first" not in words_of(tear_page)
    assert "Read this first" not in words_of(forecast_page)


def test_a_report_of_stocks_speaks_of_stocks_and_sessions(report: Report) -> None:
    text = words_of(
        render_report(replace(report, calendar="XNYS", title="Walk-forward: 9 stocks", interval="1d"))
    )

    assert "9 stocks, 1d bars sessions of XNYS" in text
    assert not re.search(r"\bcoins?\b|24/7|\bhours?\b", text)


def test_the_horizons_of_a_stock_end_at_its_sessions(market: Bars) -> None:
    friday = parse_instant("2024-07-05T20:00Z")
    closed_at = np.array([parse_instant("2024-07-03T17:00Z"), friday])
    days = replace(market[-2:], closed_at=closed_at, interval=Interval(DAY), calendar=find_calendar("XNYS"))
    forecast = replace(sample_forecast(market), closed_at=closed_at[-1:])

    stock = fan_of(forecast, days, "SIM02USDT")

    assert [format_instant(at) for at in stock.ends_at[:2]] == ["2024-07-08 20:00Z", "2024-07-11 20:00Z"]
    assert stock.instants(np.array([0.0, 1.0, 4.0])).tolist() == [friday, *stock.ends_at[:2]]
    assert "2024-07-08 20:00Z" in words_of(render_forecast(forecast, days, title="Now", created_at=0))


def test_every_text_of_a_record_is_escaped(report: Report, sheet: TearSheet, market: Bars) -> None:
    hostile = replace(
        report,
        title=HOSTILE,
        model=HOSTILE,
        notes=(HOSTILE,),
        settings={HOSTILE: {HOSTILE: HOSTILE}, "report": report.settings["report"]},
        comparisons=tuple(
            replace(c, opponent=HOSTILE, unit=HOSTILE, reason=HOSTILE) for c in report.comparisons
        ),
        curves=tuple(replace(c, name=HOSTILE) for c in report.curves),
        coverage={HOSTILE: report.coverage["lstm"]},
        scores={HOSTILE: report.scores["lstm"]},
        hashes={HOSTILE: HOSTILE},
        verdicts=tuple(replace(v, reason=HOSTILE) for v in report.verdicts),
    )
    pages = [
        render_report(hostile),
        render_tearsheet(replace(sheet, title=HOSTILE, notes=(HOSTILE,), rivals=hostile.curves)),
        render_forecast(
            sample_forecast(market, HOSTILE), market, title=HOSTILE, created_at=0, notes=[HOSTILE]
        ),
    ]

    assert [page.count("<script>") for page in pages] == [1, 1, 1]
    assert [page.count("alert(&") > 0 for page in pages] == [True, True, True]
    assert all(len(drawings(page)) >= 4 for page in pages)


def test_the_tear_sheet_shows_the_account_to_the_cent(sheet: TearSheet, tear_page: str) -> None:
    text, ledger = words_of(tear_page), sheet.ledger
    paid, last = ledger.totals, ledger.fills[-1]
    found = figures(ledger.equity, ledger.starting_balance, sheet.bars.bars_per_year)
    told = [
        fixed(paid.fees),
        fixed(paid.slippage),
        fixed(paid.funding),
        fixed(paid.fees + paid.slippage + paid.funding),
    ]
    told += [percent(found.net_return, sign=True), percent(found.max_drawdown)]
    told += [fixed(standing("", ledger).sharpe.sharpe)]
    told += [f"{ledger.trades:,}", fixed(last["fee"].item()), fixed(last["notional"].item())]

    assert [t for t in told if t not in text] == []
    assert text.count("SIM01USDT") > 1


def test_the_tear_sheet_of_an_account_that_never_traded_says_so(sheet: TearSheet) -> None:
    still = np.full((len(sheet.bars), 4), np.nan)
    text = words_of(render_tearsheet(replace(sheet, ledger=account(sheet.bars, still), rivals=())))

    assert "The account never traded." in text
    assert "It earned 0.00 % after all costs." in text


def test_a_tear_sheet_refuses_bars_that_the_account_was_not_booked_on(sheet: TearSheet) -> None:
    with pytest.raises(DataError, match="do not have the same coins and closes"):
        replace(sheet, bars=sheet.bars[1:])


def test_exposure_is_signed_notional_over_equity(sheet: TearSheet) -> None:
    ledger = sheet.ledger
    row, asset = (int(i) for i in np.argwhere(ledger.quantity < 0)[0])
    by_hand = ledger.quantity[row, asset] * sheet.bars.close[row, asset] / ledger.equity[row]

    assert sheet.exposure[row, asset] == pytest.approx(by_hand)
    assert sheet.exposure[row, asset] < 0


def test_figures_agree_with_a_hand() -> None:
    equity = np.array([100.0, 110.0, 104.5, 114.95])
    found = figures(equity, 100.0, 4.0)

    assert found.net_return == pytest.approx(0.1495)
    assert found.volatility == pytest.approx(
        2 * 0.0866025
    )  # returns .1 -.05 .1: mean .05, squared deviations .015 / 2
    assert found.sharpe == pytest.approx(2 * 0.05 / 0.0866025, rel=1e-6)
    assert found.sortino == pytest.approx(2 * 0.05 / (0.05 / np.sqrt(3)))
    assert found.max_drawdown == pytest.approx(0.05)
    assert (found.longest_drawdown, found.in_drawdown) == (1, 0.25)


def test_figures_of_too_little_or_of_ruin_are_not_numbers() -> None:
    ruined = figures(np.array([100.0, 50.0, 0.0, 20.0]), 100.0, 8_766.0)
    short = figures(np.array([100.0]), 100.0, 8_766.0)
    flat = figures(np.array([100.0, 100.0, 100.0]), 100.0, 8_766.0)

    assert np.isnan([ruined.sharpe, short.sharpe, flat.sharpe, flat.sortino]).all()
    assert (ruined.net_return, ruined.max_drawdown) == (-0.8, 1.0)
    assert returns_of(np.array([100.0, 0.0, 20.0, 40.0])).tolist()[0] == -1.0


def test_a_drawdown_that_has_not_ended_has_no_recovery() -> None:
    spells = drawdown_spells(np.arange(6) * HOUR, np.array([100.0, 90.0, 100.0, 120.0, 60.0, 90.0]), 100.0)

    assert [(s.peak_at // HOUR, s.bottom_at // HOUR, s.bars) for s in spells] == [(3, 4, 2), (0, 1, 1)]
    assert [s.recovered_at for s in spells] == [None, 2 * HOUR]
    assert [s.depth for s in spells] == pytest.approx([0.5, 0.1])


def test_the_bar_that_closes_at_midnight_belongs_to_the_month_that_ends() -> None:
    february = parse_instant("2024-02-01")
    found = monthly_returns(np.array([february, february + HOUR]), np.array([110.0, 99.0]), 100.0)

    assert list(found) == [(2024, 1), (2024, 2)]
    assert list(found.values()) == pytest.approx([0.1, -0.1])


def test_only_fills_that_realized_something_count_as_won_or_lost(sheet: TearSheet) -> None:
    fills = pl.DataFrame({"realized": [0.0, 5.0, -1.0, 2.0]})

    assert won_share(replace(sheet.ledger, fills=fills)) == pytest.approx(2 / 3)


def test_a_standalone_fan_is_one_svg_for_light_and_dark(fan: Fan) -> None:
    drawing = fan_chart(fan)
    root = parsed(drawing)
    texts = " ".join(e.text or "" for e in root.iter())

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert drawing.count("http") == 1
    assert "prefers-color-scheme:dark" in drawing
    assert "UTC" in texts
    assert "24 bars ahead, 2024-01-14 12:00Z" in texts
    assert "SIM02USDT" in texts


def test_the_fan_goes_through_the_quantiles_that_were_forecast(market: Bars, fan: Fan) -> None:
    forecast = sample_forecast(market)
    expected = market.close[-1, 1] * np.exp(forecast.law.quantile(0.9)[0, 1])

    np.testing.assert_allclose(fan.along(0.9, np.array([1.0, 4.0, 24.0])), expected)
    assert fan.along(0.9, np.zeros(1)).item() == market.close[-1, 1]
    assert (np.diff(fan.along(0.9, np.linspace(0, 24, 50))) > 0).all()


def test_the_table_of_a_forecast_has_its_moves_and_prices(market: Bars, forecast_page: str) -> None:
    frame = sample_forecast(market).to_polars()
    told = [percent(float(np.expm1(frame[q][0])), sign=True) for q in ("q0.05", "q0.50", "q0.95")]
    told += [percent(v, 1) for v in frame["p_up"]] + [percent(v) for v in frame["volatility"]]

    assert [t for t in told if t not in words_of(forecast_page)] == []


def test_a_coin_without_a_forecast_keeps_its_closes_and_says_so(market: Bars) -> None:
    forecast = sample_forecast(market)
    scale = forecast.law.scale.copy()
    scale[0, 1] = np.nan
    loc = np.where(np.isnan(scale), np.nan, forecast.law.loc)
    absent = replace(forecast, law=StudentT(loc=loc, scale=scale, df=forecast.law.df))
    text = words_of(render_forecast(absent, market, title="Now", created_at=0))

    assert text.count("No forecast: the last bar is absent") == 1
    assert "SIM02USDT 1 2024-01-13 13:00Z n/a n/a n/a n/a n/a n/a n/a n/a" in text


def test_a_fan_refuses_closes_that_end_before_its_forecast(market: Bars) -> None:
    with pytest.raises(DataError, match="no bar closes at 2024-01-13 12:00Z"):
        render_forecast(sample_forecast(market), market[:-1], title="Now", created_at=0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(1, 60))
def test_thinning_keeps_the_extremes_of_every_pixel_column(values: list[float], columns: int) -> None:
    heights = np.array(values)
    places = np.linspace(0, columns, len(values), endpoint=False)
    kept = thin(places, heights)

    assert len(kept) <= 2 * columns
    assert (np.diff(kept) > 0).all()
    for column in range(columns):
        mine, all_ = heights[kept][np.floor(places[kept]) == column], heights[np.floor(places) == column]
        assert (mine.min(initial=9e9), mine.max(initial=-9e9)) == (
            all_.min(initial=9e9),
            all_.max(initial=-9e9),
        )


@given(st.lists(st.one_of(st.floats(0, 900), st.just(float("nan"))), min_size=1, max_size=60))
def test_a_path_read_back_is_the_series_to_a_tenth_of_a_pixel(values: list[float]) -> None:
    heights = np.array(values)
    places = np.arange(len(values)) * 1.37
    here, points = np.zeros(2), []
    for command, x, y in re.findall(r"([Ml])(-?\d*\.?\d+)\s?(-?\d*\.?\d+)", path(places, heights)):
        here = np.array([float(x), float(y)]) + here * (command == "l")
        points.append(here)

    known = np.isfinite(heights)
    np.testing.assert_allclose(
        np.array(points).reshape(-1, 2), np.stack([places[known], heights[known]], axis=1), atol=0.051
    )


@given(st.lists(st.floats(20, 300), min_size=1, max_size=12))
def test_labels_never_overlap_and_keep_their_order(wanted: list[float]) -> None:
    placed = spread(wanted, 16.0, 0.0, 320.0)
    in_order = [placed[i] for i in sorted(range(len(wanted)), key=lambda i: wanted[i])]

    assert (np.diff(in_order) > 15.999).all()


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_and_inside(low: float, span: float) -> None:
    found = ticks(low, low + span, 5)

    assert len(found) <= 7
    assert all(low - 1e-6 * span <= mark <= low + span * (1 + 1e-6) + 1e-9 for mark in found)


@given(st.integers(0, 3_000), st.integers(1, 6_000), st.integers(2, 12))
def test_time_ticks_are_few_and_inside(start_day: int, days: int, room: int) -> None:
    first, last = start_day * DAY, (start_day + days) * DAY
    found = time_ticks(first, last, room)

    assert len(found) <= room
    assert all(first <= at <= last for at, _ in found)


def test_a_logarithmic_axis_is_for_large_ranges_of_positive_values() -> None:
    at = np.arange(3)
    low, high, negative = (np.array(v) for v in ([1.0, 1.5, 2.0], [1.0, 3.0, 9.0], [-1.0, 3.0, 9.0]))

    assert [needs_log([Line(name="a", at=at, values=v, style=0)]) for v in (low, high, negative)] == [
        False,
        True,
        False,
    ]


def test_a_log_scale_gives_equal_room_to_equal_ratios() -> None:
    scale = Scale(1.0, 100.0, 0.0, 200.0, log=True)

    assert [scale.at(v) for v in (1.0, 10.0, 100.0)] == pytest.approx([0.0, 100.0, 200.0])


def test_an_interval_that_ends_far_outside_is_cut_with_an_arrow_and_its_number() -> None:
    rows = [
        Estimate(group="g", label=str(k), value=v, low=v - 1, high=v + 1)
        for k, v in enumerate((1.5, 2, -3, 400))
    ]
    drawing = forest(rows, "%", margin=0.2)
    sides = re.findall(r'class="whisker (\w+)"', drawing)

    assert sides == ["better", "better", "worse", "better", "better"]
    assert max(float(e.get("x2", 0)) for e in parsed(drawing).iter("line")) < 1_000
    assert "+400.0 [+399.0, +401.0]" in drawing
    assert "smallest useful: 0.2 %" in drawing


@pytest.mark.parametrize(
    "drawing",
    [
        forest([], "%"),
        line_chart([], Axis(title="equity", show=fixed)),
        fold_strips([]),
        pit_histogram([]),
        coverage_dots([], {}),
        bar_chart([("fees", float("nan"), "n/a")], "paid"),
    ],
)
def test_charts_of_nothing_are_still_drawings(drawing: str) -> None:
    assert parsed(drawing).get("role") == "img"


def test_a_line_with_one_point_or_a_gap_is_drawn() -> None:
    one = Line(name="one", at=np.array([0]), values=np.array([1.0]), style=0)
    gap = Line(name="gap", at=np.arange(5) * HOUR, values=np.array([1.0, 2.0, np.nan, 2.0, 1.0]), style=1)
    drawing = line_chart([one, gap], Axis(title="equity", show=fixed, fill_to=0.0))
    outlines = [e.get("d", "") for e in parsed(drawing).iter("path")]

    assert "one" in drawing
    assert max(outline.count("M") for outline in outlines) == 2
