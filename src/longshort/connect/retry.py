"""What to do after a failure, in one table, and what to tell the user when nothing helped.

A failure is known by the names of ccxt's classes; nothing here imports ccxt, waits or asks. An order is never
repeated by this table: `orders.py` looks it up instead.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from longshort.base.errors import VenueError
from longshort.connect.guard import Redactor


class Step(Enum):
    """What a read does next."""

    AGAIN = "wait and ask again"
    HUSH = "hold back every task, then ask again"
    RESYNC = "learn the venue's clock, then ask again"
    RELOAD = "learn the venue's contracts once, then ask again"
    GIVE_UP = "tell the user"


STEPS: Mapping[str, Step] = MappingProxyType(
    {
        # the first name that matches, from the failure's class upwards, decides
        "InvalidNonce": Step.RESYNC,  # a NetworkError to ccxt, but waiting never cures a clock
        "DDoSProtection": Step.HUSH,  # Binance's 429 and 418
        "RateLimitExceeded": Step.HUSH,
        "CancelPending": Step.GIVE_UP,
        "OperationFailed": Step.AGAIN,  # no network, down, timeout, an answer that is no JSON
        "BodyCutShort": Step.AGAIN,  # ccxt calls it an ExchangeError
        "BadSymbol": Step.RELOAD,
        "BaseError": Step.GIVE_UP,  # refused: key, funds, order, not supported
    }
)
TIMES: Mapping[Step, int] = MappingProxyType({Step.RESYNC: 2, Step.RELOAD: 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a read is tried in all, and how long it waits between: doubling from `first_s` to `longest_s`."""

    attempts: int = 6
    first_s: float = 0.5
    longest_s: float = 30.0

    def wait(self, failures: int, rng: random.Random) -> float:
        """Seconds to wait after so many failures, between half and the whole of the step.

        >>> [Patience().wait(n, random.Random(0)) <= s for n, s in ((1, 0.5), (2, 1.0), (9, 30.0))]
        [True, True, True]
        """
        step = min(self.longest_s, self.first_s * 2.0 ** (failures - 1))
        return step * (0.5 + rng.random() / 2.0)


class Fault(Exception):
    """One failed call, free of secrets: class names from the nearest to the root, and the venue's words.

    `reason` is the deepest cause's class: what tells a missing network from a refused connection.
    """

    def __init__(self, names: tuple[str, ...], words: str, reason: str = "") -> None:
        super().__init__(words)
        self.names = names
        self.words = words
        self.reason = reason

    @classmethod
    def of(cls, error: BaseException, redactor: Redactor) -> "Fault":
        """Take what can be said of an exception, and leave the exception behind."""
        names = tuple(kind.__name__ for kind in type(error).__mro__)
        cause = error.__cause__
        deepest = [type(cause).__name__, type(cause.__cause__).__name__] if cause else []
        if "ClientPayloadError" in deepest:
            names = ("BodyCutShort", "OperationFailed", *names)
        return cls(names, redactor.clean(str(error)), " ".join(deepest))

    @property
    def step(self) -> Step:
        """What a read does about it."""
        return next((STEPS[name] for name in self.names if name in STEPS), Step.AGAIN)

    @property
    def unsettled(self) -> bool:
        """True where the venue may have acted although the call failed."""
        return "OperationFailed" in self.names

    def is_a(self, name: str) -> bool:
        """True for a class of ccxt's or below it."""
        return name in self.names


class Refusal(VenueError):
    """The venue said no; `kind` is ccxt's name for it: InsufficientFunds, OrderNotFillable, BadSymbol, ..."""

    def __init__(self, kind: str, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.kind = kind


_ENDS: tuple[tuple[str, str, str], ...] = (
    # class of ccxt's, what, remedy: the first that fits is said
    (
        "RestrictedLocation",
        "does not serve this location.",
        "Use another venue; `longshort venues` lists them.",
    ),
    (
        "AuthenticationError",
        "refuses the API key.",
        "Check key, secret, permissions and the list of addresses of the key.",
    ),
    (
        "BodyCutShort",
        "breaks off its answers half-way.",
        "Check the connection and run the same command again.",
    ),
    (
        "BadResponse",
        "answers with something that is not what it should be ({}).",
        "A proxy or a firewall may stand between; otherwise try again later.",
    ),
    (
        "InvalidNonce",
        "refuses this machine's time.",
        "Let the machine synchronise its clock.",
    ),
    (
        "DDoSProtection",
        "goes on refusing: too many requests.",
        "Wait some minutes; stop other programs that use it from this address.",
    ),
    ("RateLimitExceeded", "goes on refusing: too many requests.", "Wait some minutes."),
    ("RequestTimeout", "does not answer in time.", "Check the connection, or try again later."),
    ("OnMaintenance", "is under maintenance.", "Try again later."),
    ("ExchangeNotAvailable", "is down.", "Try again later."),
    ("NetworkError", "cannot be reached.", "Check the connection."),
)
KEY_REFUSED = re.compile(r'"code":\s*-2015\b')  # which ccxt calls a DDoSProtection once the key has worked
KEY_WANTED = re.compile(r'requires "(\w+)" credential')
_NO_NAME = ("gaierror", "ClientConnectorDNSError")
_NO_ROAD = re.compile(r"Client\w*Error|ServerDisconnectedError|OSError|Connection\w+Error")


def ending(fault: Fault, venue: str) -> VenueError:
    """The one sentence for the user, after reads were tried in vain."""
    if any(name in fault.reason for name in _NO_NAME):
        return VenueError(
            "its address cannot be found: no network.",
            where=venue,
            remedy="Check the connection and run the same command again.",
        )
    if fault.is_a("ExchangeNotAvailable") and _NO_ROAD.search(fault.reason):
        return VenueError(
            "cannot be reached.",
            where=venue,
            remedy="Check the connection and run the same command again.",
        )
    if wanted := KEY_WANTED.search(fault.words):
        return Refusal(
            "AuthenticationError",
            f"tells this to owners of an account only: it wants {wanted[1]!r}.",
            where=venue,
            remedy="Use another venue; `longshort venues` lists them.",
        )
    key = "AuthenticationError" if KEY_REFUSED.search(fault.words) else ""
    for name, what, remedy in _ENDS:
        if fault.is_a(name) or name == key:
            said = what.replace("{}", fault.words.rstrip("."))
            if fault.unsettled and not key:
                return VenueError(said, where=venue, remedy=remedy)
            return Refusal(key or fault.names[0], said, where=venue, remedy=remedy)
    words = fault.words.removeprefix(f"{venue} ")
    return Refusal(fault.names[0], f"refused: {words}", where=venue)
