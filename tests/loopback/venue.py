"""What a venue of the loopback exchange is: requests to answers, and sessions on its WebSocket. No sockets."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.loopback.clock import MarketClock
from tests.loopback.tape import Tape
from tests.loopback.trading.account import Account
from tests.loopback.wire import Answer, Refused, Request, json_answer

MILLISECOND = 10**6
Frame = str | bytes
Route = Callable[[Request], object]


@dataclass(kw_only=True)
class World:
    """What all venues of one exchange share; `skew` ns is how far their clocks are ahead of the machine's."""

    tape: Tape
    clock: MarketClock
    skew: int = 0
    weight_per_minute: int = 2_400
    accounts: dict[str, Account] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.open_account()

    def open_account(self, **fields: Any) -> Account:
        """Open an account; `fields` are those of `Account`, like its `key` and `wallet`."""
        account = Account(self.tape, self.now, **fields)
        self.accounts[account.key] = account
        return account

    def now(self) -> int:
        """Market time in ns."""
        return self.clock.now() + self.skew

    def now_ms(self) -> int:
        """Market time in ms."""
        return self.now() // MILLISECOND

    def wall_ms(self) -> int:
        """The machine's time as this exchange's clocks show it."""
        return (time.time_ns() + self.skew) // MILLISECOND


class Session(Protocol):
    """One WebSocket connection."""

    def receive(self, text: str) -> list[Frame]:
        """What to answer to a message of the client."""
        ...

    def due(self) -> list[Frame]:
        """What has happened since it was last asked."""
        ...


class Venue(Protocol):
    """Plays one venue."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Its host names, which may be wildcards."""
        ...

    def answer(self, request: Request) -> Answer:
        """Answer one request; errors are answers too."""
        ...

    def dial(self, request: Request) -> Session:
        """Open a WebSocket."""
        ...


class Routed:
    """A venue whose answers stand in a table of methods and paths."""

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """By method and path; a route answers with an `Answer` or with what becomes JSON."""
        raise NotImplementedError

    def unknown(self, request: Request) -> Answer:
        """The answer where no route leads."""
        return json_answer(
            {"code": -5000, "msg": f"Path {request.path}, Method {request.method} is invalid"}, 404
        )

    def route(self, request: Request) -> Route | None:
        """Who answers a request."""
        return self.routes().get((request.method, request.path))

    def answer(self, request: Request) -> Answer:
        """Answer one request; errors are answers too."""
        route = self.route(request)
        if route is None:
            return self.unknown(request)
        try:
            content = route(request)
        except Refused as refused:
            return refused.answer
        return content if isinstance(content, Answer) else json_answer(content)
