"""What the smaller venues have in common: contracts by name, bars by interval, streams of bars."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from tests.loopback.candles import DAY, MINUTE, Candles
from tests.loopback.follower import BarFollower, Told
from tests.loopback.tape import FOREVER, Contract, Reel
from tests.loopback.venue import MILLISECOND, Frame, Route, Routed, World
from tests.loopback.wire import Request

HOUR = 60 * MINUTE
LENGTHS = (
    {f"{n}m": n * MINUTE for n in (1, 3, 5, 15, 30)}
    | {f"{n}h": n * HOUR for n in (1, 2, 4, 6, 12)}
    | {"1d": DAY, "3d": 3 * DAY, "1w": 7 * DAY}
)


class PlainVenue(Routed):
    """A venue without accounts; `table` fills its routes."""

    hosts: tuple[str, ...]

    def __init__(self, world: World) -> None:
        self.world = world
        self._routes = self.table()

    @abstractmethod
    def table(self) -> dict[tuple[str, str], Route]:
        """All routes by method and path."""
        ...

    @abstractmethod
    def name_of(self, contract: Contract) -> str:
        """The venue's name of a contract."""
        ...

    @abstractmethod
    def stranger(self, name: str) -> Exception:
        """The refusal of a name that the venue does not have."""
        ...

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return self._routes

    def reels(self, *, inverse: bool | None = None) -> list[Reel]:
        """Contracts that are listed by now: all, the linear or the inverse ones."""
        listed = (reel for reel in self.world.tape.reels if reel.contract.listed_at <= self.world.now())
        return [reel for reel in listed if inverse in (None, reel.contract.inverse)]

    def reel(self, name: str | None, *, inverse: bool | None = None) -> Reel:
        """The contract with a name; raise `Refused` where there is none."""
        found = (reel for reel in self.reels(inverse=inverse) if self.name_of(reel.contract) == name)
        reel = next(found, None)
        if reel is None:
            raise self.stranger(str(name))
        return reel

    def is_trading(self, contract: Contract) -> bool:
        """False once it is delisted."""
        return self.world.now() < contract.delisted_at


class BarSession:
    """A connection on which bars are followed; `open` topics by what the client calls them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: dict[str, tuple[Reel, BarFollower]] = {}

    @abstractmethod
    def receive(self, text: str) -> list[Frame]:
        """What to answer to a message of the client."""
        ...

    @abstractmethod
    def tell(self, topic: str, reel: Reel, told: Told) -> Frame:
        """One bar in the venue's words."""
        ...

    def follow(self, topic: str, reel: Reel, length: int) -> None:
        """Subscribe to the traded bars of a contract."""
        self._open.setdefault(topic, (reel, BarFollower(self._world, reel, "trade", length)))

    def due(self) -> list[Frame]:
        """What has happened since it was last asked."""
        return [
            self.tell(topic, reel, told) for topic, (reel, bars) in self._open.items() for told in bars.due()
        ]


def instant(request: Request, name: str) -> int | None:
    """A parameter in ms as an instant in ns; None where it is not sent."""
    sent = request.params.get(name)
    return int(sent) * MILLISECOND if sent not in (None, "") else None


def count(request: Request, name: str, usual: int, most: int) -> int:
    """How many rows are wanted; more than the venue gives are cut without a word."""
    return max(1, min(int(request.params.get(name) or usual), most))


def pick(page: Candles, limit: int, *, oldest: bool) -> Candles:
    """The rows of a page that fit into an answer."""
    return page.first(limit) if oldest else page.last(limit)


def until(instant_or_none: int | None) -> int:
    """An end that may be left open."""
    return FOREVER if instant_or_none is None else instant_or_none


def prices(values: Sequence[float], contract: Contract, *, exact: bool) -> list[str]:
    """Open, high, low and close as text: on the tick where they were traded, else in eight decimals."""
    decimals = contract.price_decimals if exact else 8
    return [f"{value:.{decimals}f}" for value in values[:4]]


def amounts(contract: Contract, volume: float, price: float) -> tuple[float, float, float]:
    """A volume of the tape in contracts, base coins and quote coins."""
    size = float(contract.size)
    if contract.inverse:
        return volume, volume * size / price, volume * size
    return volume / size, volume, volume * price
