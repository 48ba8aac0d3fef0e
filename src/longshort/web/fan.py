"""A forecast as people read it: the last closes, and a fan of intervals over the bars to come.

The fan is drawn through the horizons that were forecast; between them quantiles of the log return are
interpolated linearly in the square root of the bars ahead, as a random walk spreads.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from longshort.base.clock import Interval, format_instant
from longshort.base.errors import DataError
from longshort.data.bars import Bars
from longshort.models.forecast import Forecast
from longshort.study.report import data_notes, noun_of
from longshort.web.formats import alike, day, percent, price
from longshort.web.pages import once, render
from longshort.web.scales import Scale, padded, path
from longshort.web.svg import NAMESPACE, Frame, el, picture, spread, tooltip, words
from longshort.web.words import ahead

HISTORY = 100  # closes drawn before the fan
STEPS = 40  # places at which the fan is drawn
BANDS = ((0.025, 0.975, "b95"), (0.1, 0.9, "b80"), (0.25, 0.75, "b50"))  # central intervals, widest first
LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
Series = Float64[np.ndarray, " time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fan:
    """One coin's last closes and its forecast now; quantiles are of the log return over each horizon.

    `ends_at` are the closes at which the horizons end: so many bars later, which are sessions for a stock.
    """

    symbol: str
    model: str
    interval: Interval
    closed_at: Int64[np.ndarray, " time"]
    close: Series
    horizons: tuple[int, ...]
    ends_at: tuple[int, ...]
    quantiles: dict[float, Float64[np.ndarray, " horizon"]]
    p_up: Float64[np.ndarray, " horizon"]
    volatility: Float64[np.ndarray, " horizon"]

    @property
    def known(self) -> bool:
        """True where the coin has a close now and a forecast at every horizon."""
        return math.isfinite(self.close[-1]) and bool(np.isfinite(self.quantiles[0.5]).all())

    def prices(self, level: float) -> Float64[np.ndarray, " horizon"]:
        """The price that is not exceeded with a probability, per horizon."""
        return self.close[-1] * np.exp(self.quantiles[level])

    def instants(self, bars_ahead: Series) -> Series:
        """When so many bars have closed; between the horizons a straight line."""
        order = np.argsort(self.horizons)
        bars = [0, *np.asarray(self.horizons)[order]]
        return np.interp(bars_ahead, bars, [int(self.closed_at[-1]), *np.asarray(self.ends_at)[order]])

    def along(self, level: float, bars_ahead: Series) -> Series:
        """The same between the horizons; 0 bars ahead is the last close.

        >>> flat = np.array([0.01, 0.02])
        >>> fan = Fan(
        ...     symbol="A", model="m", interval=Interval(1), closed_at=np.array([0]), close=np.array([1.0]),
        ...     horizons=(1, 4), ends_at=(1, 4), quantiles={0.5: flat}, p_up=flat, volatility=flat,
        ... )
        >>> np.log(fan.along(0.5, np.array([0.0, 0.25, 1.0, 4.0]))).round(6).tolist()
        [0.0, 0.005, 0.01, 0.02]
        """
        order = np.argsort(self.horizons)
        roots = np.sqrt([0.0, *np.asarray(self.horizons, dtype=np.float64)[order]])
        returns = np.array([0.0, *self.quantiles[level][order]])
        return self.close[-1] * np.exp(np.interp(np.sqrt(bars_ahead), roots, returns))


def fan_of(forecast: Forecast, bars: Bars, symbol: str) -> Fan:
    """The fan of one coin from the forecast's last row and the closes up to it; raises `DataError`."""
    now = int(forecast.closed_at[-1])
    row = int(np.searchsorted(bars.closed_at, now))
    if row == len(bars) or bars.closed_at[row] != now:
        raise DataError(f"no bar closes at {format_instant(now)}, the instant of the forecast.", where=symbol)
    last, asset = forecast[-1:], forecast.symbols.index(symbol)
    history = slice(max(0, row + 1 - HISTORY), row + 1)
    return Fan(
        symbol=symbol,
        model=forecast.model,
        interval=bars.interval,
        closed_at=bars.closed_at[history],
        close=bars.close[history, bars.symbols.index(symbol)],
        horizons=forecast.horizons,
        ends_at=tuple(bars.calendar.later(now, horizon, bars.interval) for horizon in forecast.horizons),
        quantiles={level: last.law.quantile(level)[0, asset] for level in LEVELS},
        p_up=1.0 - last.law.cdf(np.zeros_like(last.law.mean()))[0, asset],
        volatility=np.sqrt(last.law.variance())[0, asset],
    )


def fan_chart(fan: Fan, width: int = 760, height: int = 380, *, standalone: bool = True) -> str:
    """An SVG of the last closes and the fan; a standalone one carries its own style for light and dark."""
    names = f"{fan.symbol}, {fan.interval} bars: last closes and the forecast of {fan.model}"
    drawing = picture(width, height, names, *_body(fan, width, height))
    if not standalone:
        return drawing
    head = (
        tooltip(names)
        + f"<style>{render('fan.css')}</style>"
        + el("rect", width=width, height=height, rx=12, class_="paper")
    )
    return drawing.replace("<svg ", f'<svg xmlns="{NAMESPACE}" ', 1).replace(">", f">{head}", 1)


def render_forecast(
    forecast: Forecast, bars: Bars, *, title: str, created_at: int, notes: Sequence[str] = ()
) -> str:
    """A page with a fan per coin and a table of numbers; raises `DataError` where the bars end earlier."""
    fans = [fan_of(forecast, bars, symbol) for symbol in forecast.symbols]
    return render(
        "forecast.html",
        title=title,
        created_at=created_at,
        versions={},
        model=forecast.model,
        known_at=int(forecast.closed_at[-1]),
        interval=str(bars.interval),
        horizons=forecast.horizons,
        notes=(*notes, *data_notes(bars.origins, bars.changes)),
        noun=noun_of(bars.calendar.name),
        fans=[_card(fan) for fan in fans],
        rows=[row for fan in fans for row in _rows(fan)],
    )


def _body(fan: Fan, width: int, height: int) -> list[str]:
    reach = np.linspace(0.0, math.sqrt(max(fan.horizons)), STEPS) ** 2
    now = int(fan.closed_at[-1])
    edges = [fan.along(level, reach) for level in (0.025, 0.975)] if fan.known else []
    seen = np.concatenate([fan.close, *edges])
    if not np.isfinite(seen).any():
        return [words(12, 34, f"{fan.symbol}: no closes to draw", class_="tick")]
    frame = Frame(66, 44, width - 70, height - 46)
    up = Scale(*padded(float(np.nanmin(seen)), float(np.nanmax(seen)), 0.04), frame.bottom, frame.top)
    across = Scale(float(fan.closed_at[0]), float(max(fan.ends_at)), frame.left, frame.right)
    marks = up.ticks(5)
    span = f"{day(int(across.low))} to {day(int(across.high))}, UTC"
    return [
        words(12, 20, fan.symbol, class_="head"),
        words(frame.right, 20, f"fan: 50, 80 and 95 % of {fan.model}", class_="tick end"),
        el("g", frame.value_axis(up, list(zip(marks, alike(marks), strict=True)), ""), class_="prices"),
        words(12, 38, "price, quote currency", class_="axis"),
        frame.time_axis(across, span),
        _drawn_fan(fan, reach, across, up) if fan.known else _no_forecast(frame),
        el("path", d=path(across(fan.closed_at.astype(np.float64)), up(fan.close)), class_="close"),
        el("line", x1=across.at(now), x2=across.at(now), y1=frame.top, y2=frame.bottom, class_="now"),
        _end_labels(fan, up, frame) if fan.known else "",
    ]


def _drawn_fan(fan: Fan, reach: Series, across: Scale, up: Scale) -> str:
    places = across(fan.instants(reach))
    there_and_back = np.concatenate([places, places[::-1]])
    drawn: list[str] = []
    for low, high, name in BANDS:
        edge = np.concatenate([up(fan.along(low, reach)), up(fan.along(high, reach))[::-1]])
        said = tooltip(f"central {percent(high - low, 0)} interval")
        drawn.append(el("path", said, d=path(there_and_back, edge) + "Z", class_=f"band {name}"))
    drawn.append(el("path", tooltip("median"), d=path(places, up(fan.along(0.5, reach))), class_="median"))
    for k in range(len(fan.horizons)):
        place, median = across.at(fan.ends_at[k]), up.at(float(fan.prices(0.5)[k]))
        drawn.append(el("circle", tooltip(_said(fan, k)), cx=place, cy=median, r=4.5, class_="peg"))
    return "".join(drawn)


def _end_labels(fan: Fan, up: Scale, frame: Frame) -> str:
    last = int(np.argmax(fan.horizons))
    ends = [float(fan.prices(level)[last]) for level in (0.975, 0.5, 0.025)]
    heights = spread([up.at(end) for end in ends], 15.0, frame.top, frame.bottom)
    return "".join(
        words(frame.right + 8, y + 4, price(end), class_="tick") for end, y in zip(ends, heights, strict=True)
    )


def _no_forecast(frame: Frame) -> str:
    return words(frame.right - 8, frame.top + 16, "no forecast: the bar is absent", class_="axis end")


def _said(fan: Fan, k: int) -> str:
    until = format_instant(fan.ends_at[k])
    low, middle, high = (price(float(fan.prices(level)[k])) for level in (0.05, 0.5, 0.95))
    up = percent(float(fan.p_up[k]), 1)
    return f"{ahead(fan.horizons[k])}, {until}\nmedian {middle}\n90 % between {low} and {high}\nP(up) {up}"


def _reading(fan: Fan) -> str:
    if not fan.known:
        return "No forecast: the last bar is absent or its features are not known yet."
    last = int(np.argmax(fan.horizons))
    low, high = (price(float(fan.prices(level)[last])) for level in (0.05, 0.95))
    return (
        f"{ahead(fan.horizons[last])}: nine times in ten between {low} and {high}; "
        f"up with probability {percent(float(fan.p_up[last]), 1)}."
    )


def _card(fan: Fan) -> dict[str, Any]:
    return {
        "symbol": fan.symbol,
        "drawing": once(fan_chart(fan, 430, 300, standalone=False)),
        "reading": _reading(fan),
    }


def _rows(fan: Fan) -> list[dict[str, Any]]:
    return [
        {
            "symbol": fan.symbol,
            "first": k == 0,
            "horizon_bars": horizon,
            "until": fan.ends_at[k],
            "p_up": float(fan.p_up[k]),
            "moves": [math.expm1(float(fan.quantiles[level][k])) for level in (0.05, 0.5, 0.95)],
            "volatility": float(fan.volatility[k]),
            "prices": [float(fan.prices(level)[k]) for level in (0.05, 0.5, 0.95)],
        }
        for k, horizon in enumerate(fan.horizons)
    ]
