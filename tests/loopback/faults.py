"""What can go wrong between a client and a venue, injected by rule.

    exchange.faults.add("ban", path="*/klines", after=2, times=3)
    exchange.faults.add(refusal(400, -2019, "Margin is insufficient."), path="*/order", method="POST")
    exchange.faults.add("gap", path="*/klines", times=None, chance=0.2, seed=7)

A rule counts the requests that match it: it lets `after` of them through, then strikes `times` times (None: for
ever), each with `chance`. Names are the keys of `FAULTS`; those of error codes speak Binance's language.

aiohttp repeats a GET itself, once, when a kept connection was reset: `times=2` is what a client notices.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from types import MappingProxyType

import numpy as np

from tests.loopback.wire import JSON, Answer, Request, RowEdit

Respond = Callable[[Request], Answer]
Effect = Callable[[Request, Respond], Answer]

HTML = {"Content-Type": "text/html"}
BAN_SECONDS = 2


def reply(status: int, body: str, headers: Mapping[str, str] = HTML, *, acted: bool = False) -> Effect:
    """Another answer; with `acted` the venue does what was asked before the answer is lost."""

    def effect(request: Request, respond: Respond) -> Answer:
        if acted:
            respond(request)
        return Answer(status=status, body=body.encode(), headers=headers)

    return effect


def refusal(status: int, code: int, message: str, *, retry_after: int | None = None) -> Effect:
    """An error in Binance's form."""
    waiting = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return reply(status, json.dumps({"code": code, "msg": message}), JSON | waiting)


def page_of(status: int, title: str, *, acted: bool = False) -> Effect:
    """An HTML page, as gateways and firewalls send."""
    return reply(status, f"<html><head><title>{title}</title></head><body>{title}</body></html>", acted=acted)


def stall(seconds: float) -> Effect:
    """An answer that comes late, or after the client has given up; the venue acts at once."""
    return lambda request, respond: replace(respond(request), delay=seconds)


def reset(*, acted: bool = False) -> Effect:
    """The connection breaks without an answer; with `acted` after the venue did what was asked."""

    def effect(request: Request, respond: Respond) -> Answer:
        if acted:
            respond(request)
        return Answer(status=0, ending="reset")

    return effect


def garble(change: Callable[[bytes], bytes]) -> Effect:
    """The right status with a body that is not what it should be."""

    def effect(request: Request, respond: Respond) -> Answer:
        answer = respond(request)
        return replace(answer, body=change(answer.body))

    return effect


def rows(edit: RowEdit) -> Effect:
    """A page of candles with its rows picked otherwise; `edit` maps the list of row numbers."""

    def effect(request: Request, respond: Respond) -> Answer:
        request.edit = edit
        return respond(request)

    return effect


def short(request: Request, respond: Respond) -> Answer:
    """A body that ends before its Content-Length."""
    return replace(respond(request), ending="short")


def ban(request: Request, respond: Respond) -> Answer:
    """418 with the instant until which the address is banned."""
    until = int((time.time() + BAN_SECONDS) * 1000)
    message = f"Way too many requests; IP(127.0.0.1) banned until {until}. Please use the websocket."
    return refusal(418, -1003, message, retry_after=BAN_SECONDS)(request, respond)


def _duplicated(numbers: list[int]) -> list[int]:
    middle = len(numbers) // 2
    return [*numbers[: middle + 1], *numbers[middle : len(numbers) - 1]]


_TOO_MANY = "Too many requests; current limit of IP(127.0.0.1) is 2400 requests per minute."
_BUSY = "The server is currently overloaded with other requests. Please try again in a few minutes."

FAULTS: MappingProxyType[str, Effect] = MappingProxyType(
    {
        "too-many-requests": refusal(429, -1003, _TOO_MANY, retry_after=1),
        "ban": ban,
        "too-many-orders": refusal(429, -1015, "Too many new orders.", retry_after=1),
        "rate-limit-400": refusal(400, -1003, _TOO_MANY),
        "firewall": page_of(403, "Request blocked"),
        "500": page_of(500, "Internal Server Error"),
        "502": page_of(502, "Bad Gateway"),
        "503": page_of(503, "Service Unavailable"),
        "520": page_of(520, "Web server returned an unknown error"),
        "522": page_of(522, "Connection timed out"),
        "504": page_of(504, "Gateway Timeout"),
        "stall": stall(60.0),
        "backend-timeout": refusal(408, -1007, "Timeout waiting for response from backend server."),
        "reset": reset(),
        "short-body": short,
        "unknown-error": refusal(500, -1000, "An unknown error occurred while processing the request."),
        "disconnected": refusal(400, -1001, "Internal error; unable to process your request."),
        "overloaded": refusal(503, -1008, _BUSY),
        "truncated-body": garble(lambda body: body[: len(body) // 2]),
        "html-body": garble(lambda body: b"<html><body>Welcome</body></html>"),
        "empty-body": garble(lambda body: b""),
        "no-rows": rows(lambda numbers: []),
        "duplicate": rows(_duplicated),
        "gap": rows(lambda numbers: numbers[: len(numbers) // 2] + numbers[len(numbers) // 2 + 2 :]),
        "disorder": rows(lambda numbers: [*numbers[1::2], *numbers[::2]]),
        "bad-timestamp": refusal(400, -1021, "Timestamp for this request is outside of the recvWindow."),
        "bad-symbol": refusal(400, -1121, "Invalid symbol."),
        "bad-key-format": refusal(401, -2014, "API-key format invalid."),
        "bad-key": refusal(401, -2015, "Invalid API-key, IP, or permissions for action."),
        "bad-signature": refusal(400, -1022, "Signature for this request is not valid."),
        "no-margin": refusal(400, -2019, "Margin is insufficient."),
        "small-notional": refusal(400, -4164, "Order's notional must be no smaller than 5."),
        "reduce-only": refusal(400, -2022, "ReduceOnly Order is rejected."),
        "duplicate-id": refusal(400, -4116, "ClientOrderId is duplicated."),
        "would-take": refusal(400, -5022, "The Post Only order will be rejected."),
        "price-limit": refusal(
            400, -4131, "The counterparty's best price does not meet the PERCENT_PRICE filter."
        ),
        "restricted": refusal(
            400, -4400, "Futures Trading Quantitative Rules violated, only reduceOnly is allowed."
        ),
        "unknown-cancel": refusal(400, -2011, "Unknown order sent."),
        "unknown-order": refusal(400, -2013, "Order does not exist."),
        "lost-reply": reset(acted=True),
        "lost-reply-502": page_of(502, "Bad Gateway", acted=True),
    }
)


@dataclass(slots=True, kw_only=True)
class Rule:
    """When an effect strikes; `struck` counts how often it did."""

    effect: Effect
    path: str = "*"
    method: str = "*"
    after: int = 0
    times: int | None = 1
    chance: float = 1.0
    seed: int = 0
    struck: int = 0
    seen: int = 0
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def strikes(self, request: Request) -> bool:
        """Count this request, and say whether it is struck."""
        if not (fnmatchcase(request.path, self.path) and fnmatchcase(request.method, self.method)):
            return False
        self.seen += 1
        if self.seen <= self.after or self.struck == self.times or self.rng.random() >= self.chance:
            return False
        self.struck += 1
        return True


class Faults:
    """The rules in force; the first that strikes a request decides."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(self, effect: Effect | str, **when: object) -> Rule:
        """Put a rule in force; keywords are the fields of `Rule`."""
        rule = Rule(effect=FAULTS[effect] if isinstance(effect, str) else effect, **when)  # pyright: ignore[reportArgumentType]
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Let everything work again."""
        self.rules.clear()

    def answer(self, request: Request, respond: Respond) -> Answer:
        """The venue's answer, or what a fault makes of it."""
        rule = next((rule for rule in tuple(self.rules) if rule.strikes(request)), None)
        return rule.effect(request, respond) if rule else respond(request)
