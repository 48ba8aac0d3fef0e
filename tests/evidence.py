"""A made-up report with much evidence: many opponents, sections of every kind, red flags; and sections that are odd."""

from dataclasses import replace

import numpy as np

from longshort.base.clock import DAY, HOUR, parse_instant
from longshort.study.report import Comparison, Curve, FoldSpan, Profit, Report
from longshort.study.section import Cell, Chart, Column, Flag, Section, Series, Table
from longshort.study.verdict import METRICS, Margins, judge

HORIZONS = (1, 4, 24)
COINS = tuple(f"{name}USDT" for name in ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "LINK", "TRX"))
FORECASTERS = (
    "random walk", "drift", "seasonal naive", "previous value", "expanding volatility", "ewma-t", "har-range",
    "garch-t", "gjr-garch-t", "linear quantiles", "dlinear", "lightgbm", "auto-arima", "auto-ets", "theta",
    "prophet", "moving average of squared returns",
)  # fmt: skip
STRATEGIES = ("buy and hold", "momentum", "volatility-targeted hold", "volatility-targeted momentum")
RIVALS = {"accuracy": ("majority",), "brier": ("majority",), "net_return": ("cash", *STRATEGIES)}
SKILLS = {
    "log_score": (0.08, 0.012),
    "crps": (3.1, 0.5),
    "qlike": (0.05, 0.06),
    "accuracy": (0.2, 1.1),
    "brier": (0.03, 0.08),
    "net_return": (0.06, 0.30),
}
MARGINS = {"margin_crps_percent": 0.2, "margin_direction_points": 0.5, "margin_bps_per_trade": 1.0}
START = parse_instant("2023-01-01")
NAN = float("nan")

FLAGS = (
    Flag(
        name="Few trials recorded",
        seen="Only 7 evaluations of this data are on record.",
        meaning="Whoever tried more elsewhere, without recording it, deflates too little. Evaluate with one lake.",
    ),
    Flag(
        name="Profit in few bars",
        seen="The best 20 of 10,526 bars earned 141 % of the net profit.",
        meaning="Without them the account would have lost. Look at these bars, and at what a missed fill costs.",
        severity="serious",
    ),
    Flag(
        name="Universe chosen with hindsight",
        seen="All 9 coins trade to the last bar.",
        meaning="Coins that died are not among them, which flatters whoever holds. List the coins as of a date.",
        severity="serious",
    ),
    Flag(
        name="Interval too wide at 24 bars",
        seen="The 90 % interval holds 94.6 % of the outcomes.",
        meaning="Its width is not earned. Calibrate it on later bars.",
    ),
    Flag(
        name="One coin earns it all",
        seen="DOGEUSDT made 83 % of the profit.",
        meaning="A result of one coin is a result of one market. Leave it out and evaluate again.",
    ),
)


def rich_report(bars: int = 10_500) -> Report:
    """Nine coins, 5 folds of 5 seeds, 17 opponents and every kind of section."""
    rng = np.random.default_rng(5)
    comparisons = tuple(_comparisons(rng))
    names = ("lstm", *FORECASTERS)
    return Report(
        title="Walk-forward: 9 coins, 1h bars, 2023-01-01 to 2024-12-31",
        created_at=parse_instant("2026-11-21T15:34Z"),
        seconds=812.3,
        settings={
            "data": {"source": "lake", "symbols": list(COINS)},
            "model": {"hidden": 48, "seeds": [1, 2, 3, 4, 5]},
            "report": MARGINS,
        },
        hashes={"data": "9f0c1d2e3a4b5c6d", "study": "0123456789abcdef", "code": "fedcba9876543210"},
        versions={"longshort": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
        symbols=COINS,
        interval="1h",
        folds=tuple(_fold(k) for k in range(5)),
        seeds=(1, 2, 3, 4, 5),
        horizons=HORIZONS,
        model="lstm",
        opponents=(*FORECASTERS, "majority", "cash", *STRATEGIES),
        verdicts=judge(comparisons, margins=Margins(trades_per_bar=0.02)),
        comparisons=comparisons,
        scores={name: {h: _scores(rng, k, h) for h in HORIZONS} for k, name in enumerate(names)},
        coverage={name: {h: _coverage(rng, k) for h in HORIZONS} for k, name in enumerate(names)},
        pit={h: tuple((1 + 0.15 * rng.standard_normal(20)) / 20) for h in HORIZONS},
        curves=tuple(_curve(rng, name, bars) for name in ("lstm", *STRATEGIES)),
        profits=tuple(_profit(name, k) for k, name in enumerate(("lstm", *STRATEGIES))),
        trials=7,
        notes=("Direction: hit rates near 50 % are what an efficient market looks like.",),
        flags=FLAGS,
        sections=rich_sections(),
    )


def rich_sections() -> tuple[Section, ...]:
    """Fifteen sections as an evaluation of nine coins would tell them."""
    rng = np.random.default_rng(6)
    plain = [_pairwise(rng), _regimes(rng), _hours(rng), _coins(rng), _rolling(rng), _seeds(rng), _worst(rng)]
    more = [
        replace(plain[k % 7], key=f"more-{k}", title=f"{plain[k % 7].title}, again {k}") for k in range(6)
    ]
    absent = Section(key="garch", title="Nested models", reading="", missing="no opponent is nested in lstm.")
    failed = Section(key="power", title="Power", reading="", missing="fewer than 200 instants were scored.")
    return (*plain, absent, *more, failed)


def odd_sections() -> tuple[Section, ...]:
    """Sections that are allowed and strange: nothing in them, one point, a name that is markup, far too much."""
    hostile, long = '<script>alert("x")</script>', "a name of a coin that somebody made far too long " * 3
    empty = Table(name="empty", title="Nothing", columns=(Column(name="a"),), rows=())
    wild = Table(
        name="../wild & <name>", title=hostile, note=hostile,
        columns=(Column(name=hostile, meaning=hostile), Column(name="b", kind="number", unit=hostile)),
        rows=((hostile, NAN), (long, float("inf")), (None, None), ("a,b\n\"c\"", -1e-12)),
    )  # fmt: skip
    many = Table(
        name="many", title="Many", columns=(Column(name="n", kind="count"), Column(name="p", kind="p")),
        rows=tuple((k, k / 200) for k in range(200)),
    )  # fmt: skip
    return (
        Section(key="odd", title=hostile, reading=hostile, tables=(empty, wild, many), charts=_odd_charts(),
                notes=(hostile,)),
        Section(key="odd", title="The same key again", reading="", tables=(empty,)),
        Section(key="bare", title="Nothing at all", reading="Nothing was found."),
        Section(key="missing", title=long, reading="", missing=hostile),
    )  # fmt: skip


def _odd_charts() -> tuple[Chart, ...]:
    rng = np.random.default_rng(7)
    labels = tuple(f"coin {k}" for k in range(60))
    nothing = Series(name="nothing", x=(), y=())
    unknown = Series(name="unknown", x=(0.0, 1.0), y=(NAN, NAN))
    one = Series(name='<b>"one"</b>', x=(3.0,), y=(5.0,))
    gaps = Series(name="gaps", x=(0.0, 1.0, 2.0, 3.0, 4.0), y=(1.0, NAN, 2.0, NAN, 3.0), low=(0.0,), high=())
    long = Series(name="long", x=tuple(map(float, range(200))), y=tuple(np.cumsum(rng.normal(size=200))))
    instants = Series(name="at", x=(float(START), float(START + DAY)), y=(0.5, 0.5))
    far = Series(name="far", x=(0.0, 1.0, 2.0), y=(1.0, 2.0, 1e9), low=(0.5, 1.5, -1e9), high=(1.5, 2.5, 9e9))
    sixty = Series(name="sixty", x=tuple(map(float, range(60))), y=tuple(rng.normal(size=60)))
    outside = Series(name="outside", x=(-1.0, 0.0, 61.0, 1e18), y=(1.0, 1.0, 1.0, 1.0))
    crowd = tuple(
        Series(name=f"a series with a rather long name {k}", x=long.x[:50], y=long.y[k : k + 50])
        for k in range(30)
    )
    kinds = ("lines", "bars", "dots", "intervals", "strip")
    simple = [
        _chart(f"{kind} of {series[0].name if series else 'none'} {k}", kind, series)
        for kind in kinds
        for k, series in enumerate(
            [(), (nothing,), (unknown, one), (one,), (gaps,), (long, gaps), (far,), crowd]
        )
    ]
    labelled = [
        replace(_chart(f"labels {kind}", kind, (sixty, outside)), labels=labels, x_kind="label")
        for kind in kinds
    ]
    timed = [replace(_chart(f"time {kind}", kind, (instants,)), x_kind="instant") for kind in kinds]
    bounded = replace(
        _chart("bounded", "lines", (long,)), reference=NAN, band=(5.0, -5.0), y_kind="signed percent"
    )
    return (*simple, *labelled, *timed, bounded)


def _chart(title: str, kind: str, series: tuple[Series, ...]) -> Chart:
    return Chart(
        name=title, title=title, kind=kind, x_label="x, <bars>", y_label="y, %", series=series,  # type: ignore[arg-type]
        reading="Odd, but drawn.", reference=0.0,
    )  # fmt: skip


def _pairwise(rng: np.random.Generator) -> Section:
    columns = (
        Column(name="opponent"), Column(name="bars ahead", kind="count"),
        Column(name="gain", kind="signed", unit="bp", digits=3, meaning="of CRPS"),
        Column(name="Diebold-Mariano", kind="signed"), Column(name="p", kind="p"),
        Column(name="p, Holm", kind="p"), Column(name="share of days won", kind="percent", digits=1),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = [
        (name, h, float(rng.normal(0.4, 0.3)), float(rng.normal(3, 2)), float(rng.random() ** 4), None,
         float(rng.uniform(0.45, 0.7)))
        for name in FORECASTERS for h in HORIZONS
    ]  # fmt: skip
    return Section(
        key="rivals",
        title="Against every opponent, test by test",
        reading="14 of 17 opponents are beaten by every test at 1 bar ahead; lightgbm is the hardest, and at 24 bars "
        "ahead nobody is beaten.",
        tables=(
            Table(
                name="tests",
                title="Pairwise tests",
                columns=columns,
                rows=tuple(rows),
                note="p is one-sided.",
            ),
        ),
        notes=("The slow models speak at every 24th bar only; the tests know their spacing.",),
    )


def _regimes(rng: np.random.Generator) -> Section:
    labels = ("calm", "quiet", "usual", "busy", "wild")
    series = tuple(_around(rng, f"{h} bars ahead", 5, 1.5 / h**0.3) for h in HORIZONS)
    chart = Chart(
        name="volatility", title="Skill by volatility of the past day", kind="intervals", x_label="fifth of hours",
        y_label="skill against ewma-t, % of CRPS", series=series, labels=labels, x_kind="label", y_kind="signed",
        reference=0.0, reading="Calm hours are where it gains; in the wildest fifth nothing is left.",
    )  # fmt: skip
    coverage = Chart(
        name="coverage", title="Coverage of the 90 % interval", kind="dots", x_label="fifth of hours",
        y_label="coverage",
        series=tuple(_around(rng, f"{h} bars ahead", 5, 0.9, 0.015) for h in HORIZONS), labels=labels, x_kind="label",
        y_kind="percent", reference=0.9, band=(0.88, 0.92), reading="All within two points but the wildest fifth.",
    )  # fmt: skip
    return Section(key="regimes", title="Where it fails: volatility", charts=(chart, coverage),
                   reading="It gains in calm markets and loses its lead in wild ones.")  # fmt: skip


def _hours(rng: np.random.Generator) -> Section:
    hours = Chart(
        name="hours", title="Skill by hour of the day", kind="bars", x_label="hour, UTC", y_label="skill, % of CRPS",
        series=(_around(rng, "1 bar ahead", 24, 1.0, 0.4),), x_kind="number", y_kind="signed", reference=0.0,
        reading="Best between 13 and 16, when New York opens.",
    )  # fmt: skip
    days = Chart(
        name="days", title="Skill by weekday", kind="bars", x_label="weekday", y_label="skill, % of CRPS",
        series=tuple(_around(rng, f"{h} bars ahead", 7, 1.0, 0.4) for h in (1, 4)),
        labels=("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), x_kind="label", y_kind="signed",
        reading="Weekends are harder than working days.",
    )  # fmt: skip
    return Section(key="calendar", title="Where it fails: hours and weekdays", charts=(hours, days),
                   reading="Hours differ by less than their intervals; weekends are a little harder.")  # fmt: skip


def _coins(rng: np.random.Generator) -> Section:
    chart = Chart(
        name="coins", title="Rank of every forecaster", kind="bars", x_label="", y_label="mean rank of 18",
        series=(Series(name="rank", x=tuple(map(float, range(17))), y=tuple(np.sort(rng.uniform(2, 16, 17)))),),
        labels=FORECASTERS, x_kind="label", reading="The LSTM has a mean rank of 1.8.",
    )  # fmt: skip
    columns = (Column(name="coin"), Column(name="skill", kind="signed percent"), Column(name="hours", kind="count"),
               Column(name="first scored", kind="instant"))  # fmt: skip
    rows = tuple(
        (coin, float(rng.normal(0.01, 0.01)), 10_526, START + k * DAY) for k, coin in enumerate(COINS)
    )
    table = Table(name="coins", title="Coin by coin", columns=columns, rows=rows)
    return Section(key="coins", title="Coin by coin", reading="Eight of nine coins gain; TRX does not.",
                   charts=(chart,), tables=(table,))  # fmt: skip


def _rolling(rng: np.random.Generator) -> Section:
    x = tuple(float(START + k * 2 * DAY) for k in range(200))
    names = ("lstm", "lightgbm", "gjr-garch-t", "har-range", "ewma-t", "prophet", "theta", "drift")
    lines = tuple(
        Series(name=name, x=x, y=tuple(1.5 - 0.3 * k + np.cumsum(rng.normal(0, 0.06, 200))))
        for k, name in enumerate(names)
    )
    y = 0.9 + 0.02 * np.sin(np.arange(200) / 20)
    held = Series(name="adaptive", x=x, y=tuple(y), low=tuple(y - 0.01), high=tuple(y + 0.01))
    rolling = Chart(
        name="rolling", title="Skill over time", kind="lines", x_label="", y_label="skill, % of CRPS, past 60 days",
        series=lines, x_kind="instant", y_kind="signed", reference=0.0, reading="It leads in all but two months.",
    )  # fmt: skip
    cover = Chart(
        name="coverage", title="Coverage over time", kind="lines", x_label="", y_label="coverage, past 60 days",
        series=(held,), x_kind="instant", y_kind="percent", reference=0.9, band=(0.88, 0.92),
        reading="Never more than two points off.",
    )  # fmt: skip
    return Section(key="rolling", title="Over time", reading="The lead is steady.", charts=(rolling, cover))


def _seeds(rng: np.random.Generator) -> Section:
    x, y = np.repeat(np.arange(3.0), 5), rng.normal(1.2, 0.2, 15)
    chart = Chart(
        name="seeds", title="Skill of each seed", kind="strip", x_label="bars ahead", y_label="skill, % of CRPS",
        series=(Series(name="seed", x=tuple(x), y=tuple(y)),), labels=("1", "4", "24"), x_kind="label",
        y_kind="signed", reference=0.0, reading="Seeds differ by a tenth of the skill.",
    )  # fmt: skip
    cloud = Chart(
        name="cloud", title="Forecast and outcome", kind="dots", x_label="forecast volatility, %",
        y_label="realized, %",
        series=(Series(name="hours", x=tuple(rng.gamma(2, 0.4, 200)), y=tuple(rng.gamma(2, 0.4, 200))),),
        reading="On average it is right.",
    )  # fmt: skip
    return Section(key="seeds", title="Luck of the seed", reading="No seed stands out; the best one is never quoted.",
                   charts=(chart, cloud))  # fmt: skip


def _worst(rng: np.random.Generator) -> Section:
    columns = (Column(name="closes", kind="instant"), Column(name="coin"), Column(name="move", kind="signed percent"),
               Column(name="times expected", kind="number", digits=1), Column(name="loss", kind="number", unit="bp"),
               Column(name="context"), Column(name="known", kind="text"))  # fmt: skip
    rows: list[tuple[Cell, ...]] = [
        (START + int(rng.integers(9_000)) * HOUR, COINS[k % 9], float(rng.normal(0, 0.06)), float(rng.uniform(5, 19)),
         float(rng.uniform(100, 400)), "after 6 calm hours, 14:00 on a Wednesday", k % 2 == 0)
        for k in range(20)
    ]  # fmt: skip
    return Section(key="worst", title="The worst 20 bars", reading="17 of 20 came within an hour of news.",
                   tables=(Table(name="bars", title="By loss", columns=columns, rows=tuple(rows)),))  # fmt: skip


def _around(rng: np.random.Generator, name: str, places: int, level: float, spread: float = 0.5) -> Series:
    y = level + spread * rng.standard_normal(places)
    half = spread * rng.uniform(0.8, 1.6, places)
    return Series(
        name=name, x=tuple(map(float, range(places))), y=tuple(y), low=tuple(y - half), high=tuple(y + half)
    )


def _comparisons(rng: np.random.Generator) -> list[Comparison]:
    found: list[Comparison] = []
    for metric, (level, width) in SKILLS.items():
        for horizon in (4,) if metric == "net_return" else HORIZONS:
            rivals = RIVALS.get(metric, FORECASTERS)
            for k, opponent in enumerate(rivals):
                half = width / 2 * (1 + 0.3 * np.sqrt(horizon))
                easy = 0.5 + 2.0 * abs(k / len(rivals) - 0.7)
                value = float(level * easy / horizon**0.4 + 0.15 * half * rng.standard_normal())
                p_value = float(np.clip(np.exp(-((max(value, 0) / half * 1.96) ** 2) / 1.7) / 2, 1e-9, 0.9))
                told = METRICS[metric]
                found.append(
                    Comparison(
                        question=told.question, horizon_bars=horizon, opponent=opponent, metric=metric, skill=value,
                        unit=told.unit, ci95=(value - half, value + half), p_value=p_value, n_instants=10_526,
                        n_coins=9,
                    )
                )  # fmt: skip
    return found


def _scores(rng: np.random.Generator, rank: int, horizon: int) -> dict[str, float]:
    size, wobble = 0.005 * np.sqrt(horizon), 1 + 0.01 * rank + 0.003 * rng.standard_normal()
    return {
        "mae": size * wobble, "mase": 0.99 * wobble, "rmse": 1.6 * size * wobble, "crps": 0.72 * size * wobble,
        "log_score": -3.9 + 0.02 * rank, "qlike": -8.1 + 0.05 * rank, "brier": 0.2497 + 0.0002 * rank,
        "pinball": 0.3 * size * wobble, "winkler": 5.1 * size * wobble, "accuracy": 0.512 - 0.002 * rank,
        "majority_accuracy": 0.507, "n": 94_734.0, "n_direction": 94_120.0,
    }  # fmt: skip


def _coverage(rng: np.random.Generator, rank: int) -> dict[float, float]:
    return {
        level: level + 0.004 * rank * (1 - level) + 0.004 * float(rng.standard_normal())
        for level in (0.5, 0.8, 0.9, 0.95)
    }


def _fold(k: int) -> FoldSpan:
    test_from = START + (280 + 88 * k) * DAY
    return FoldSpan(
        train_from=START,
        train_until=test_from - 70 * DAY,
        validation_from=test_from - 69 * DAY,
        validation_until=test_from - DAY,
        test_from=test_from,
        test_until=test_from + 88 * DAY - HOUR,
        gap_bars=23,
    )


def _curve(rng: np.random.Generator, name: str, bars: int) -> Curve:
    closed_at = START + 280 * DAY + HOUR * np.arange(1, bars + 1, dtype=np.int64)
    steps = 2e-5 + (0.0016 if name == "lstm" else 0.004) * rng.standard_t(4, bars) / np.sqrt(2)
    return Curve(name=name, closed_at=closed_at, equity=np.exp(np.cumsum(steps)))


def _profit(name: str, k: int) -> Profit:
    return Profit(
        name=name, net_return=0.2456 - 0.07 * k, sharpe=1.23 - 0.3 * k, max_drawdown=0.1234 + 0.1 * k,
        trades=1_234 + k, turnover=98.7 - k, fees=0.0493, slippage=0.0099, funding=-0.0021, break_even_bps=41.5,
    )  # fmt: skip
