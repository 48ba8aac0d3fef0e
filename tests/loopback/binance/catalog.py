"""What contracts Binance has by which names, and how it reads parameters."""

from dataclasses import dataclass

from tests.loopback.candles import DAY, MINUTE
from tests.loopback.tape import FOREVER, Contract, Reel
from tests.loopback.venue import MILLISECOND, World
from tests.loopback.wire import Refused, Request

HOUR = 60 * MINUTE
INTERVALS = (
    {f"{n}m": n * MINUTE for n in (1, 3, 5, 15, 30)}
    | {f"{n}h": n * HOUR for n in (1, 2, 4, 6, 8, 12)}
    | {"1d": DAY, "3d": 3 * DAY, "1w": 7 * DAY}
)


def error(code: int, message: str, status: int = 400) -> Refused:
    """An error as Binance words it."""
    return Refused(status, {"code": code, "msg": message})


@dataclass(frozen=True)
class Catalog:
    """The contracts of USD-M (`fapi`), or of COIN-M (`dapi`), which are inverse."""

    world: World
    inverse: bool

    @property
    def dialect(self) -> str:
        """How paths and hosts begin."""
        return "dapi" if self.inverse else "fapi"

    def symbol_of(self, contract: Contract) -> str:
        """The venue's name of a contract."""
        ending = f"_{contract.expires:%y%m%d}" if contract.expires else "_PERP" * self.inverse
        return contract.base + contract.quote + ending

    def reels(self) -> list[Reel]:
        """Contracts of this market that are listed by now."""
        reels = (reel for reel in self.world.tape.reels if reel.contract.inverse == self.inverse)
        return [reel for reel in reels if reel.contract.listed_at <= self.world.now()]

    def reel(self, symbol: str | None) -> Reel:
        """The contract with a symbol; raise -1102 without one and -1121 where there is none."""
        if not symbol:
            raise error(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        found = next((reel for reel in self.reels() if self.symbol_of(reel.contract) == symbol), None)
        if found is None:
            raise error(-1121, "Invalid symbol.")
        return found

    def reel_of_pair(self, pair: str | None) -> Reel:
        """The perpetual of a pair like BTCUSD; raise -1121 where there is none."""
        found = next((r for r in self.reels() if r.contract.base + r.contract.quote == pair), None)
        if found is None:
            raise error(-1121, "Invalid pair.")
        return found

    def is_trading(self, contract: Contract) -> bool:
        """False once it is delisted or delivered."""
        return self.world.now() < min(contract.delisted_at, contract.expires_at or FOREVER)


def limit_of(request: Request, usual: int, most: int) -> int:
    """How many rows are wanted; raise -1130 beyond what the venue gives."""
    limit = integer(request, "limit")
    if limit is None:
        return usual
    if not 1 <= limit <= most:
        raise error(-1130, "Data sent for parameter 'limit' is not valid.")
    return limit


def window_of(request: Request) -> tuple[int | None, int | None]:
    """`startTime` and `endTime` in ns, both inclusive; raise -1023 where they are the wrong way round."""
    start, end = integer(request, "startTime"), integer(request, "endTime")
    if start is not None and end is not None and start > end:
        raise error(-1023, "Start time is greater than end time.")
    start_at = None if start is None else start * MILLISECOND
    return start_at, None if end is None else end * MILLISECOND


def integer(request: Request, name: str) -> int | None:
    """A parameter as a number; raise -1102 where it is none."""
    sent = request.params.get(name)
    try:
        return None if sent is None else int(sent)
    except ValueError:
        raise error(
            -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        ) from None
