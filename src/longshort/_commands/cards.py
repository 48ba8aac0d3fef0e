"""`forecast --leverage --risk`: a card per coin, with what speaks against the trade first; 80 columns."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import floor, log10
from textwrap import wrap
from typing import Any

from rich.text import Text

from longshort._commands import fit
from longshort._commands.tell import STYLES
from longshort._commands.terminal import emit_json, stdout
from longshort.base.clock import SECOND, Interval, format_instant
from longshort.base.errors import StudyError
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.data.market import choose
from longshort.policy.advice.card import Card, card_of
from longshort.policy.advice.ticket import Ask
from longshort.study.badge import FIRST, NEVER, Badge, badge_of
from longshort.study.market import load_bars

WIDTH = 78
LABEL = 12
AXIS = 64
BAR_PARTS = " ▏▎▍▌▋▊▉█"
WORD_STYLES = {word.value: style for word, style in STYLES.items()} | {NEVER: "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The command's options as they were typed."""

    leverage: float | None
    risk: str
    stop: str
    equity: float
    horizon: int
    coins: tuple[str, ...]


def cards(study: Study, wanted: Wanted, *, as_json: bool) -> None:
    """Print a card per coin, or one JSON object; raise `StudyError` for what makes no sense."""
    ask = _ask(study, wanted)
    bars = load_bars(study)
    forecast = fit.forecast(study)
    badge = badge_of(study, ask.horizon_bars)
    chosen = choose(wanted.coins, forecast.symbols, "the study")
    made: list[Card | None] = []
    for symbol in chosen:
        coin = forecast.symbols.index(symbol)
        price = float(bars.close[-1, coin])
        made.append(card_of(forecast, coin, bars.instruments[coin], price, study.costs.record, ask))
    if as_json:
        emit_json({"verdict": _badge_json(badge), "cards": [_card_json(card) for card in made if card]})
        return
    for symbol, card in zip(chosen, made, strict=True):
        lines = card_lines(card, badge, bars) if card else [Text(f"{symbol}: no forecast, so no trade.\n")]
        for line in lines:
            stdout().print(line, soft_wrap=True)
    stdout().print(Text(_foot(), style="dim"), soft_wrap=True)


def card_lines(card: Card, badge: Badge, bars: Bars) -> list[Text]:
    """The card as a person reads it, from the answer down to the figures."""
    length = Interval(card.horizon_bars * bars.interval.ns)
    head = f"{card.symbol}  {length} ahead, from the close of {format_instant(card.closed_at)}"
    lines = [Text("─" * WIDTH, style="dim"), Text(head, style="bold"), *_answer(card), *_verdict(badge)]
    lines += [Text(), *_axis(card), Text(), *_figures(card)]
    for warning in card.warnings:
        lines += _line("note", warning, style="yellow")
    return [*lines, Text()]


def _answer(card: Card) -> list[Text]:
    """The first word: whether this trade makes sense at all."""
    if card.refused:
        return _wrapped(f"DO NOT: {card.refused}.", "bold red")
    paid = f"{card.expected:+.2%} is expected, the round trip costs {card.round_trip:.2%}"
    if not card.pays:
        return _wrapped(f"DOES NOT PAY: {paid}.", "bold yellow")
    return _wrapped(f"PAYS ITS COSTS, if the forecast is right: {paid}.", "bold")


def _verdict(badge: Badge) -> list[Text]:
    """What is known of the forecasts themselves."""
    said = Text(f" {badge.word} ", style=f"reverse {WORD_STYLES.get(badge.word, '')}")
    if badge.judged_at is None:
        return [said + Text(" `longshort evaluate` says what these forecasts are worth.")]
    day = format_instant(badge.judged_at)[:10]
    asked = "on profit" if FIRST in badge.words else "on profit at this horizon"
    said += Text(f" {asked}, judged {day}" + ("" if badge.is_current else " with other settings"))
    others = [f"{question} {word}" for question, word in badge.words.items() if question != FIRST]
    return [said, Text(" " * 2 + " · ".join(others), style="dim")] if others else [said]


def _figures(card: Card) -> list[Text]:
    settle, share = card.settle, card.notional / card.equity
    stop = f"{_at(card.stop, card)}   reached with {_chance(card.p_stop)}"
    size = f"{_figure(card.contracts)} contracts = {_money(card.notional)} {settle} = {share:.1%} of equity"
    lost = (
        f"{_money(card.loss)} {settle} = {card.loss / card.equity:.2%} of equity at the stop, costs included"
    )
    rows = {
        "side": f"{card.side.upper():<6} P(up) {card.p_up:.1%} {_gauge(card.p_up)}",
        "expected": f"{card.expected:+.3%}, less {card.round_trip:.3%} for the round trip: {card.net:+.3%}",
        "entry": f"{_price(card.entry)} with slippage; last close {_price(card.price)}",
        "stop": stop,
        "liquidation": _liquidation(card),
        "size": size,
        "margin": f"{_money(card.margin)} {settle} at {card.leverage:g}x, isolated",
        "at risk": lost,
    }
    lines = [line for label, text in rows.items() for line in _line(label, text)]
    lines[0].stylize("bold cyan" if card.side == "long" else "bold magenta", LABEL, LABEL + 5)
    return lines


def _liquidation(card: Card) -> str:
    if card.liquidation is None:
        return "at no price"
    before = "" if card.has_tiers else "before "
    return f"{before}{_at(card.liquidation, card)}   reached with {_chance(card.p_liquidation)}"


def _axis(card: Card) -> list[Text]:
    """Where the price may end (nine of ten outcomes), and the levels of the trade, drawn to scale."""
    marks = {"stop": card.stop, "entry": card.entry}
    if card.liquidation is not None:
        marks = {"liquidation": card.liquidation, **marks}
    low, high = min(card.low, *marks.values()), max(card.high, *marks.values())
    span = (high - low) or 1.0

    def place(price: float) -> int:
        return round((price - low) / span * (AXIS - 1))

    cells = ["─"] * AXIS
    cells[place(card.low) : place(card.high) + 1] = "━" * (place(card.high) + 1 - place(card.low))
    for name, sign in (("liquidation", "✕"), ("stop", "┃"), ("entry", "●")):
        if name in marks:
            cells[place(marks[name])] = sign
    key = "━ nine of ten outcomes  ● entry  ┃ stop" + ("  ✕ liquidation" if "liquidation" in marks else "")
    return [Text(" " * LABEL + "".join(cells)), Text(" " * LABEL + key, style="dim")]


def _gauge(share: float, width: int = 20) -> str:
    """A share of 1 as a bar: a half is in its middle."""
    eighths = round(8 * width * share)
    full, part = divmod(eighths, 8)
    filled = "█" * full + (BAR_PARTS[part] if part else "")
    return f"▕{filled.ljust(width)}▏"


def _line(label: str, text: str, style: str = "") -> list[Text]:
    parts = wrap(text, WIDTH - LABEL) or [""]
    return [
        Text(f"{label if n == 0 else '':<{LABEL}}") + Text(part, style=style) for n, part in enumerate(parts)
    ]


def _wrapped(text: str, style: str) -> list[Text]:
    return [Text(part, style=style) for part in wrap(text, WIDTH)]


def _at(price: float, card: Card) -> str:
    return f"{_price(price)} ({price / card.price - 1.0:+.2%})"


def _price(price: float) -> str:
    """Seven digits, as prices are read: 37,499.8 or 0.0005967."""
    decimals = 0 if price == 0.0 else max(0, 5 - floor(log10(abs(price))))
    text = f"{price:,.{min(decimals, 10)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _money(value: float) -> str:
    return f"{value:,.2f}" if abs(value) >= 1.0 or value == 0.0 else f"{value:.6f}"


def _figure(value: float) -> str:
    return f"{value:,.8f}".rstrip("0").rstrip(".")


def _chance(probability: float) -> str:
    return f"{probability:.1%}" if probability >= 1e-3 or probability == 0.0 else "less than 0.1%"


def _foot() -> str:
    return (
        "Stop and liquidation: chances to be touched within the horizon, by the forecast.\n"
        "Not in the figures: funding, gaps through the stop. A card is no advice."
    )


def _ask(study: Study, wanted: Wanted) -> Ask:
    horizon = wanted.horizon or study.policy.horizon_bars
    if horizon not in study.target.horizons:
        raise StudyError(
            f"nothing is forecast {horizon} bars ahead.",
            where="--horizon",
            remedy=f"Write one of {', '.join(map(str, study.target.horizons))}.",
        )
    return Ask(
        leverage=wanted.leverage if wanted.leverage is not None else study.trading.leverage,
        risk=share(wanted.risk, "--risk"),
        equity=wanted.equity or study.trading.starting_balance,
        horizon_bars=horizon,
        stop=share(wanted.stop, "--stop") if wanted.stop else None,
    )


def share(text: str, where: str) -> float:
    """A share as people write it; raise `StudyError`.

    >>> share("1%", "--risk"), share("0.01", "--risk")
    (0.01, 0.01)
    """
    try:
        number = text.strip()
        return float(number[:-1]) / 100.0 if number.endswith("%") else float(number)
    except ValueError as error:
        raise StudyError(f"{text!r} is no share.", where=where, remedy="Write it like 1% or 0.01.") from error


def _card_json(card: Card) -> dict[str, Any]:
    closed_at = datetime.fromtimestamp(card.closed_at // SECOND, UTC).isoformat()
    derived = {"net": card.net, "pays": card.pays, "confidence": card.confidence}
    return asdict(card) | derived | {"closed_at": closed_at}


def _badge_json(badge: Badge) -> dict[str, Any]:
    at = badge.judged_at
    judged_at = None if at is None else datetime.fromtimestamp(at // SECOND, UTC).isoformat()
    return asdict(badge) | {"words": dict(badge.words), "judged_at": judged_at}
