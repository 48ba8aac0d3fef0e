"""One exchange through ccxt, made safe: every call paced, checked, retried as the table says, and free of secrets.

Reads end in complete data or a `VenueError`. Orders go through `send`, which repeats none. All tasks of a program
share one `Exchange` per venue, and so its pace.
"""

import asyncio
import importlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar

from longshort.base.clock import HOUR, Interval
from longshort.base.errors import VenueError
from longshort.connect import orders
from longshort.connect.guard import STUMBLES, Credentials, Guard, Redactor
from longshort.connect.known_venues import Kind
from longshort.connect.listing import Listing, read_listings
from longshort.connect.pacing import MILLISECOND, Pacer, Timing
from longshort.connect.retry import TIMES, Fault, Patience, Step, ending
from longshort.connect.venues import find_venue, has_futures, intervals, make_client, offers, page_rows

Answer = TypeVar("Answer")
KEEP_ALIVE_MS = 15_000  # ccxt's 3 minutes would notice a dead stream after 6 to 9
READS = ("fetch_", "load_", "watch_")
DEADLINE_MS = 10_000  # for one call


class Exchange:
    """A venue's client while it is entered: `async with Exchange("binanceusdm") as exchange`.

    Without `credentials` it reads what is public. `timing` and `rng` are for tests and for repeatable waits.
    """

    def __init__(
        self,
        venue: str,
        *,
        credentials: Credentials | None = None,
        timing: Timing | None = None,
        patience: Patience | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.venue = find_venue(venue)
        if credentials and self.venue.no_orders:
            raise VenueError(
                f"is for public data only: {self.venue.no_orders}.",
                where=self.venue.id,
                remedy="Leave the key out, or trade on another venue.",
            )
        self.timing = timing or Timing()
        self.patience = patience or Patience()
        self.rng = rng or random.Random()  # noqa: S311 spreads waits, guards nothing
        self.private = credentials is not None
        self.client: Any = make_client(self.venue, _settings(credentials, dict(self.venue.options)))
        if not has_futures(self.client):
            raise VenueError(
                "has no futures, as far as ccxt knows.",
                where=self.venue.id,
                remedy="`longshort venues` lists venues that have.",
            )
        self.client.has["fetchCurrencies"] = False  # not needed, and private on some venues
        self.client.streaming = {**self.client.streaming, "keepAlive": KEEP_ALIVE_MS}
        self.pacer = Pacer(self.venue.id, float(self.client.rateLimit), self.timing)
        self._errors: Any = importlib.import_module("ccxt.base.errors")
        Guard(self.client, self.pacer, self._errors.BadResponse).attach()
        self._redactor = Redactor(secrets=credentials.secrets() if credentials else ())
        self._listings: dict[str, Listing] = {}
        self._loading = asyncio.Lock()
        self._clock_known_at: int | None = None
        self.seen_at = 0  # the latest instant at which the venue's clock was read

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.client.close()

    async def server_now(self) -> int:
        """The venue's clock; the machine's where the venue does not tell."""
        if self.client.has.get("fetchTime") is True:
            now = int(await self.read("fetch_time")) * MILLISECOND
        else:
            now = self.timing.now()
        self.seen_at = max(self.seen_at, now)
        return now

    async def listings(self, *, again: bool = False) -> dict[str, Listing]:
        """Every contract of the venue by its unified symbol, inactive ones included; `again` asks anew."""
        async with self._loading:
            if again or not self._listings:
                markets = await self.ask(lambda client: client.load_markets(reload=again))
                self._listings = read_listings(markets, self.client, self.venue.id, self.timing.now())
        return dict(self._listings)

    def intervals(self) -> tuple[Interval, ...]:
        """The bar lengths that the venue has, shortest first."""
        return intervals(self.venue, self.client)

    def offers(self, kind: Kind) -> bool:
        """True where the venue has a history of this kind."""
        return offers(self.client, kind)

    def page_rows(self, kind: Kind) -> int:
        """How many rows one call gives."""
        return page_rows(self.venue, self.client, kind)

    async def read(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a reading method of ccxt's client; raise `VenueError` once waiting and repeating did not help."""
        assert method.startswith(READS) or "Get" in method, f"{method} does not only read: use send"
        call = getattr(self.client, method)
        return await self.ask(lambda client: call(*args, **kwargs))

    async def send(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method that acts on the account.

        An order is sent once, with an id of our own; where its fate is unclear it is looked up by that id, and it is
        returned, or `NotPlaced` or `Unsettled` is raised.
        """
        return await orders.send(self, method, *args, **kwargs)

    async def ask(self, question: Callable[[Any], Awaitable[Answer]]) -> Answer:
        """Ask a question that may be asked again, of the client; parsers in it may stumble over bad answers."""
        steps: Counter[Step] = Counter()
        while True:
            outcome = await self.attempt(question)
            if not isinstance(outcome, Fault):
                return outcome
            step = outcome.step
            steps[step] += 1
            spent = steps.total() >= self.patience.attempts or steps[step] > TIMES.get(step, steps.total())
            if step is Step.GIVE_UP or spent:
                raise ending(outcome, self.venue.id)
            await self._recover(step, steps.total())

    async def attempt(self, question: Callable[[Any], Awaitable[Answer]]) -> "Answer | Fault":
        """Ask once; a failure comes back as a `Fault`, without the exception and what it may hold."""
        if self.private and (self._clock_known_at or 0) + HOUR < self.timing.now():
            await self.resync()
        try:
            return await question(self.client)
        except self._errors.BaseError as error:
            return Fault.of(error, self._redactor)
        except STUMBLES as error:
            words = self._redactor.clean(f"{type(error).__name__}: {error}")
            return Fault(("BadResponse", "OperationFailed", "BaseError"), words)
        except OSError as error:
            words = self._redactor.clean(str(error))
            names = ("ExchangeNotAvailable", "NetworkError", "OperationFailed", "BaseError")
            return Fault(names, words, type(error).__name__)

    @property
    def connections(self) -> frozenset[object]:
        """The open streams; ccxt replaces one that broke, now and then without a word."""
        return frozenset(self.client.clients.values())

    async def resync(self) -> None:
        """Learn how far the venue's clock is from the machine's, for signatures."""
        self._clock_known_at = self.timing.now()
        await self.attempt(lambda client: client.load_time_difference())

    async def _recover(self, step: Step, failures: int) -> None:
        wait_s = self.patience.wait(failures, self.rng)
        if step is Step.RESYNC:
            await self.resync()
        elif step is Step.RELOAD:
            await self.attempt(lambda client: client.load_markets(reload=True))
        elif step is Step.HUSH:
            self.pacer.shut(self.timing.now() + int(wait_s * 1e9))
        else:
            await self.timing.sleep(wait_s)


def _settings(credentials: Credentials | None, options: dict[str, Any]) -> dict[str, Any]:
    """What a client is made with. ccxt's own repeats are off: they would send an order twice."""
    own = {
        "fetchCurrencies": False,
        "adjustForTimeDifference": credentials is not None,
        "maxRetriesOnFailure": 0,
    }
    return {
        **(credentials.settings() if credentials else {}),
        "enableRateLimit": True,
        "timeout": DEADLINE_MS,
        "options": {**options, **own, "warnOnFetchOpenOrdersWithoutSymbol": False},
    }
