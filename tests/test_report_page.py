"""The whole report: first screen, sections of any kind, downloads, one sheet of A4, and the terminal's version."""

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshort._commands.show import flags_from, sections_from, show_flags, show_sections, table_cells
from longshort.base.clock import SECOND, parse_instant
from longshort.base.errors import DataError, StudyError
from longshort.study.report import Report, Word
from longshort.study.section import Cell, Chart, Column, Section, Series, Table
from longshort.study.statistics.sharpe import days_per_year, sharpe_ratio
from longshort.study.trials import daily
from longshort.web.cells import cell_text, download, table_csv
from longshort.web.facts import first_facts
from longshort.web.plots import plot
from longshort.web.report import render_report
from longshort.web.skills import panels
from longshort.web.summary import render_summary
from longshort.web.words import headline

from .evidence import FORECASTERS, NAN, odd_sections, rich_report
from .test_web import Balance, bare_report, drawings, parsed, words_of

CHROMIUM = shutil.which("chromium") or ""
KINDS = ("lines", "bars", "dots", "intervals", "strip")


@pytest.fixture(scope="module")
def report() -> Report:
    return rich_report(bars=1_000)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render_report(report, summary="summary.html")


@pytest.fixture(scope="module")
def odd_page(report: Report) -> str:
    return render_report(replace(report, sections=odd_sections()))


@pytest.fixture(scope="module")
def sheet(report: Report) -> str:
    return render_summary(report)


@pytest.fixture(scope="module")
def small(report: Report) -> Report:
    """The same with one metric's comparisons and one section, quicker to draw."""
    few = tuple(c for c in report.comparisons if c.metric == "crps" and c.horizon_bars == 1)
    scores = {name: {1: found[1]} for name, found in report.scores.items()}
    return replace(report, comparisons=few, scores=scores, coverage={}, pit={}, sections=report.sections[3:4])


@pytest.fixture(scope="module")
def every_page(page: str, odd_page: str, sheet: str) -> list[str]:
    return [page, odd_page, sheet, render_report(bare_report()), render_summary(bare_report())]


@pytest.mark.parametrize(
    ("kind", "cell", "told"),
    [
        ("text", "BTCUSDT", "BTCUSDT"),
        ("text", True, "yes"),
        ("text", 1_234, "1,234"),
        ("number", 1_234.5678, "1,234.568"),
        ("number", -0.00001, "0.000"),
        ("number", float("-inf"), "\N{MINUS SIGN}\N{INFINITY}"),
        ("signed", 0.5, "+0.500"),
        ("signed", -0.5, "\N{MINUS SIGN}0.500"),
        ("percent", 0.12345, "12.345"),
        ("signed percent", 0.12345, "+12.345"),
        ("count", 12_345, "12,345"),
        ("p", 0.0312, ".031"),
        ("p", 0.0000312, "< .001"),
        ("p", 1.0, "1.000"),
        ("instant", parse_instant("2024-02-29T13:00Z"), "2024-02-29 13:00"),
        ("number", None, "\N{EN DASH}"),
        ("percent", NAN, "\N{EN DASH}"),
        ("instant", None, "\N{EN DASH}"),
    ],
)
def test_each_kind_of_column_says_its_cells_in_its_own_way(kind: str, cell: Cell, told: str) -> None:
    column = Column(name="a", kind=kind, digits=3)  # type: ignore[arg-type]

    assert cell_text(cell, column) == told


def test_no_page_asks_a_network_for_anything(every_page: list[str]) -> None:
    text = "".join(every_page)

    assert re.findall(r"(?i)https?:|//[a-z]|@import|url\(|<link|<img|<iframe|src=|srcset", text) == []
    assert text.count("default-src 'none'") == len(every_page)
    assert set(re.findall(r'href="([^"#][^"]{0,11})', text)) == {
        "report.json", "summary.html", "report.html", "data:text/cs",
    }  # fmt: skip


def test_every_element_of_a_page_is_closed(every_page: list[str]) -> None:
    balances = [Balance() for _ in every_page]
    for balance, page in zip(balances, every_page, strict=True):
        balance.feed(page)

    assert [balance.open for balance in balances] == [[]] * len(every_page)


def test_every_drawing_is_xml_without_values_that_are_not_numbers(every_page: list[str]) -> None:
    charts = [d for page in every_page for d in drawings(page) if d.get("role") == "img"]
    values = {v for c in charts for e in c.iter() for k, v in e.items() if k not in {"aria-label", "class"}}

    assert len(charts) > 100
    assert [v for v in values if re.search(r"nan|inf|e\+", v)] == []


def test_markup_in_a_section_is_text(odd_page: str) -> None:
    assert odd_page.count("<script>") == 1
    assert odd_page.count("&lt;script&gt;alert") > 5
    assert "<b>&quot;one&quot;</b>" not in odd_page


def test_every_section_has_heading_reading_and_a_download_for_each_table(report: Report, page: str) -> None:
    found = re.findall(r'<section id="(topic-[^"]+)"[^>]*>(.*?)</section>', page, re.DOTALL)
    told = dict(found)

    assert [key for key, _ in found] == [f"topic-{section.key}" for section in report.sections]
    for section in report.sections:
        text = words_of(told[f"topic-{section.key}"])
        assert section.title in text
        assert (section.reading or section.missing) in text
        assert all(chart.reading in text for chart in section.charts)
        files = re.findall(r'download="([^"]+)"', told[f"topic-{section.key}"])
        assert files == [f"{section.key}-{table.name}.csv" for table in section.tables]


def test_a_section_that_could_not_be_computed_is_one_quiet_line(page: str) -> None:
    (line,) = re.findall(r'<section id="topic-garch" class="absent">(.*?)</section>', page)

    assert words_of(line).strip() == "Nested models Not computed: no opponent is nested in lstm."


def test_the_contents_lead_to_every_section_once(every_page: list[str]) -> None:
    page, odd_page = every_page[:2]
    for text in (page, odd_page):
        ids = re.findall(r'<section id="([^"]+)"', text)
        rail = text[text.index('class="rail"') : text.index("<main>")]
        assert len(ids) == len(set(ids))
        assert re.findall(r'href="#([^"]+)"', rail) == ids


def test_long_tables_show_their_first_rows_and_fold_the_rest_without_a_script(page: str) -> None:
    tables = re.findall(
        r'<div class="table( long)?">.*?<tbody>(.*?)</tbody>(.*?)</div>\s*(?:<|$)', page, re.DOTALL
    )
    rows = [len(re.findall("<tr", body)) for _, body, _ in tables]

    assert len(rows) > 10
    assert [bool(long) for long, _, _ in tables] == [n > 20 for n in rows]
    assert "Show all 51 rows" in page


cells = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**15), 10**15), st.floats(allow_nan=False), st.text(max_size=20)
)


@given(st.lists(st.tuples(cells, cells), max_size=6))
def test_a_download_read_back_holds_every_cell(rows: list[tuple[Cell, Cell]]) -> None:
    columns = (Column(name='a "name", with a comma'), Column(name="b", kind="number", unit="bp"))
    table = Table(name="any", title="Any", columns=columns, rows=tuple(rows))
    file = download("A section", table)
    text = unquote(file.href.partition(",")[2], encoding="utf-8")
    head, *found = csv.reader(io.StringIO(text, newline=""))

    assert file.name == "a-section-any.csv"
    assert head == ['a "name", with a comma', "b (bp)"]
    assert found == [[written(cell) for cell in row] for row in rows]
    assert [float(f) for row, own in zip(found, rows, strict=True) for f, c in zip(row, own, strict=True)
            if isinstance(c, float)] == [c for own in rows for c in own if isinstance(c, float)]  # fmt: skip


def written(cell: Cell) -> str:
    return "" if cell is None else str(cell).lower() if isinstance(cell, bool) else str(cell)


def test_a_download_has_shares_as_fractions_and_instants_in_iso_8601() -> None:
    columns = (Column(name="share", kind="percent"), Column(name="closes", kind="instant"))
    at = parse_instant("2024-02-29T13:00:07Z")
    table = Table(name="t", title="T", columns=columns, rows=((0.1234567, at), (NAN, None)))
    _, first, last = csv.reader(io.StringIO(table_csv(table)))

    assert table_csv(table).splitlines()[0] == "share (fraction),closes (UTC)"
    assert (float(first[0]), parse_instant(first[1])) == (0.1234567, at // SECOND * SECOND)
    assert last == ["", ""]


def test_the_first_screen_answers_in_the_order_in_which_people_ask(report: Report, page: str) -> None:
    labels = [words_of(label) for label in re.findall(r"<dt>(.*?)</dt>", page)]
    text = words_of(page[: page.index('<section id="flags"')])

    assert labels == [
        "What was tested", "Against", "What won", "By how much", "How sure", "What it would have cost",
        "What was left", "How much to trust it",
    ]  # fmt: skip
    assert "9 coins, 1h bars from 2023-10-08 to 2024-12-20 5 folds \N{MULTIPLICATION SIGN} 5 seeds" in text
    assert [name for name in report.opponents if name not in text] == []
    assert "7 evaluations of this data and target so far sealed holdout unopened red flags: 2 serious" in text


def test_what_it_would_have_cost_is_said_in_all_and_per_trade(report: Report) -> None:
    own = replace(report.profits[0], fees=0.03, slippage=0.012, funding=-0.002, trades=400, turnover=80.0)
    fact = next(f for f in first_facts(replace(report, profits=(own,))) if f.label.endswith("cost"))

    assert fact.figure == "4.00 % of the account"
    assert fact.beside[0] == "fees 3.00 %, slippage 1.20 %, funding \N{MINUS SIGN}0.20 %"
    assert fact.beside[1] == "per trade: 1.00 bp of the account, 5.0 bp of what was traded"


def test_a_sharpe_ratio_is_said_with_an_interval_that_holds_it(report: Report) -> None:
    account = next(curve for curve in report.curves if curve.name == report.profits[0].name)
    days, returns = daily(account.closed_at, account.equity, 1.0)
    sharpe = sharpe_ratio(returns) * np.sqrt(days_per_year(days))
    own = replace(report.profits[0], sharpe=float(sharpe))
    told = " ".join(" ".join(fact.beside) for fact in first_facts(replace(report, profits=(own,))))
    (found,) = re.findall(r"Sharpe (\S+) a year, 95 % interval (\S+) to (\S+)", told)
    value, low, high = (float(number.replace("\N{MINUS SIGN}", "-")) for number in found)

    assert value == pytest.approx(sharpe, abs=0.0051)
    assert low < value < high
    assert high - value == pytest.approx(value - low, abs=0.011)


@pytest.mark.parametrize("word", [Word.NO_EDGE, Word.INCONCLUSIVE])
def test_an_edge_is_claimed_only_where_the_word_is_beats(small: Report, word: Word) -> None:
    lost = replace(small, verdicts=tuple(replace(v, word=word) for v in small.verdicts))
    told = {fact.label: fact for fact in first_facts(lost)}
    above = words_of(render_report(lost).partition('<section id="verdict"')[0])

    assert told["What won"].figure == "Nothing"
    assert told["By how much"].beside[0].startswith("not proven")
    assert "BEATS" not in above + headline(lost)
    assert "It beats" not in above


def test_one_win_is_claimed_for_its_question_and_horizon_alone(report: Report) -> None:
    words = {("volatility", 4): Word.BEATS}
    verdicts = tuple(
        replace(v, word=words.get((v.question, v.horizon_bars), Word.NO_EDGE)) for v in report.verdicts
    )
    told = {fact.label: fact for fact in first_facts(replace(report, verdicts=verdicts))}

    assert told["What won"].figure == "Volatility at 4 bars ahead"
    assert told["By how much"].beside[0] == "volatility, QLIKE, 4 bars ahead"
    assert told["What won"].beside[1] == "no proof in density, direction or profit"


def test_serious_flags_stand_in_front(report: Report, page: str, sheet: str) -> None:
    flags = page[page.index('<section id="flags"') : page.index('<section id="verdict"')]

    assert re.findall(r'<li class="(serious|warning)">', flags) == ["serious"] * 2 + ["warning"] * 3
    assert [f.seen for f in report.flags if f.seen not in words_of(flags)] == []
    assert [f.meaning for f in report.flags if f.meaning not in words_of(flags)] == []
    assert words_of(sheet).count("serious Profit in few bars") == 1


def test_the_hardest_opponents_stand_first_and_none_is_left_out(report: Report, page: str) -> None:
    crps = next(panel for panel in panels(report) if panel.comparisons[0].metric == "crps")
    sure = {
        name: min((c.skill / (c.ci95[1] - c.ci95[0])) for c in crps.comparisons if c.opponent == name)
        for name in crps.names
    }
    titles = [e.text or "" for d in drawings(page) for e in d.iter() if e.tag.endswith("title")]

    assert sorted(crps.names) == sorted(FORECASTERS)
    assert list(sure.values()) == sorted(sure.values())
    assert [n for n in FORECASTERS if not any(t.startswith(f"{n}, 24 bars ahead: ") for t in titles)] == []


def test_a_report_of_nine_coins_and_much_evidence_stays_below_two_and_a_half_megabytes() -> None:
    assert len(render_report(rich_report(bars=10_500)).encode()) < 1_500_000


@pytest.mark.parametrize(
    "part", ["verdicts", "comparisons", "curves", "profits", "flags", "sections", "opponents"]
)
def test_page_and_summary_do_without_any_one_part(small: Report, part: str) -> None:
    without = replace(small, **{part: ()})

    assert "</html>" in render_report(without)
    assert "</html>" in render_summary(without)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [350, 380, 1_000])
def test_a_chart_draws_every_known_point_and_no_other(kind: str, width: int) -> None:
    series = (
        Series(name="own", x=(0.0, 1.0, 2.0, 3.0), y=(0.1, 0.2, NAN, 0.4), low=(0.0, 0.1, 0.2, 0.3),
               high=(0.2, 0.3, 0.4, 0.5)),
        Series(name="other", x=(0.0, 3.0), y=(0.5, float("inf"))),
    )  # fmt: skip
    labels = ("calm", "quiet", "busy", "a name that is much too long to stand beside others")
    chart = Chart(
        name="c", title="C", kind=kind, x_label="x", y_label="y", series=series, reading="r", labels=labels,
        x_kind="label", y_kind="percent", reference=0.3, band=(0.2, 0.4),
    )  # type: ignore[arg-type]  # fmt: skip
    drawing = parsed(plot(chart, width, own="own"))
    told = [e.text for e in drawing.iter() if e.tag.endswith("title")]

    assert {t for t in told if t and ": " in t and "should" not in t and "of" not in t} >= {
        "own, calm: 10.00 % [0.00 %, 20.00 %]", "own, quiet: 20.00 % [10.00 %, 30.00 %]",
        f"own, {labels[3]}: 40.00 % [30.00 %, 50.00 %]", "other, calm: 50.00 %",
    }  # fmt: skip
    assert not any(t and ("busy" in t or "inf" in t.lower()) for t in told)
    assert "as it should be: 20.00 % to 40.00 %" in told


def test_heights_of_bars_are_in_proportion() -> None:
    series = (Series(name="a", x=(1.0, 2.0, 3.0), y=(1.0, 2.0, -1.0)),)
    chart = Chart(name="c", title="C", kind="bars", x_label="x", y_label="y", series=series, reading="r")
    bars = [e for e in parsed(plot(chart)).iter() if e.get("class") == "bar s0"]
    heights = [float(e.get("height", 0)) for e in bars]

    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert heights[2] == pytest.approx(heights[0], abs=0.2)
    assert float(bars[2].get("y", 0)) == pytest.approx(float(bars[0].get("y", 0)) + heights[0], abs=0.2)


def test_the_line_of_the_judged_model_has_the_first_color_wherever_it_stands() -> None:
    series = tuple(Series(name=n, x=(0.0, 1.0), y=(0.0, 1.0)) for n in ("a", "lstm", "b"))
    chart = Chart(name="c", title="C", kind="lines", x_label="x", y_label="y", series=series, reading="r")
    drawing = parsed(plot(chart, own="lstm"))
    colors = {
        e[0].text: e.get("class") for e in drawing.iter() if e.get("class", "").startswith("line") and len(e)
    }

    assert colors == {"a": "line s1", "lstm": "line s0", "b": "line s2"}


def test_the_summary_holds_verdicts_flags_charts_and_hashes(report: Report, sheet: str) -> None:
    text = words_of(sheet)

    assert headline(report) in text
    assert re.findall(r"(BEATS|NO EDGE|INCONCLUSIVE)", text[text.index("question 1 bar ahead") :])[
        : len(report.verdicts)
    ] == [v.word.value for v in report.verdicts]
    assert len([d for d in drawings(sheet) if d.get("role") == "img"]) == 3
    assert [h for h in report.hashes.values() if h not in text] == []
    assert "and 1 more in the report." in text


@pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine to print with")
def test_the_summary_prints_on_one_sheet(sheet: str, tmp_path: Path) -> None:
    (tmp_path / "summary.html").write_text(sheet, encoding="utf-8")
    off = ("gpu", "quic", "background-networking", "component-update", "sync")
    subprocess.run(  # noqa: S603 our own page
        [CHROMIUM, "--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{one}" for one in off),
         f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={tmp_path / 'summary.pdf'}",
         (tmp_path / "summary.html").as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip

    assert len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "summary.pdf").read_bytes())) == 1


def test_the_terminal_prints_headings_readings_and_tables_with_units(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    show_sections(report.sections)
    text = capsys.readouterr().out

    assert [s.title for s in report.sections if s.title not in text] == []
    assert [s.reading for s in report.sections if s.reading not in text] == []
    assert "Not computed: no opponent is nested in lstm." in text
    assert "gain, bp" in text
    assert "\N{MINUS SIGN}" not in text
    assert "\x1b[" not in text


def test_the_terminal_prints_the_sections_that_are_named(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    show_sections(report.sections, ["worst", "coins"])
    text = capsys.readouterr().out

    assert "The worst 20 bars" in text
    assert "Coin by coin" in text
    assert "Luck of the seed" not in text
    with pytest.raises(StudyError, match=r"no section 'wrst'[\s\S]*Choose from: rivals, regimes"):
        show_sections(report.sections, ["wrst"])


def test_the_terminal_prints_odd_sections_too(capsys: pytest.CaptureFixture[str]) -> None:
    show_sections(odd_sections())

    assert '<script>alert("x")</script>' in capsys.readouterr().out


def test_the_terminal_prints_serious_flags_first(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    show_flags(report.flags)
    lines = capsys.readouterr().out.splitlines()

    assert [line.partition(":")[0] for line in lines] == ["SERIOUS"] * 2 + ["WARNING"] * 3
    assert lines[0].endswith("what a missed fill costs.")


@pytest.mark.parametrize("sections", [rich_report(bars=10).sections, odd_sections()])
def test_sections_read_from_json_are_those_that_were_written(
    report: Report, sections: Sequence[Section]
) -> None:
    plain = json.loads(json.dumps(replace(report, sections=tuple(sections)).to_dict(), allow_nan=False))
    found = sections_from(plain["sections"])

    assert flags_from(plain["flags"]) == report.flags
    for one, own in zip(found, sections, strict=True):
        assert replace(one, tables=(), charts=()) == replace(own, tables=(), charts=())
        assert [t.columns for t in one.tables] == [t.columns for t in own.tables]
        assert [[c if finite(c) else None for c in row] for t in one.tables for row in t.rows] == [
            [c if finite(c) else None for c in row] for t in own.tables for row in t.rows
        ]
        assert [s.x for c in one.charts for s in c.series] == [s.x for c in own.charts for s in c.series]
        for mine, other in zip(one.charts, own.charts, strict=True):
            for a, b in zip(mine.series, other.series, strict=True):
                np.testing.assert_array_equal(np.array(a.y), np.array(b.y))


def finite(cell: Cell) -> bool:
    return not isinstance(cell, float) or bool(np.isfinite(cell))


def test_a_record_of_another_version_is_refused_with_a_remedy() -> None:
    with pytest.raises(DataError, match=r"not written by this version[\s\S]*longshort evaluate"):
        flags_from([{"name": "a", "seen": "b", "meaning": "c", "severity": "mild"}])


def test_heads_say_units_and_numbers_stand_to_the_right() -> None:
    columns = (Column(name="coin"), Column(name="gap", kind="signed", unit="bp"), Column(name="p", kind="p"))
    table = Table(name="t", title="T", columns=columns, rows=(("A", -1.5, None),))

    assert table_cells(table) == (["coin", ">gap, bp", ">p"], [["A", "-1.50", "-"]])
