"""How Binance knows who asks: API key, HMAC over query and body, and a timestamp within recvWindow."""

import hashlib
import hmac

from tests.loopback.binance.catalog import error, integer
from tests.loopback.trading.account import Account
from tests.loopback.venue import World
from tests.loopback.wire import Request

EARLY = 1_000  # ms that a timestamp may be ahead
USUAL_WINDOW = 5_000


def account_of(world: World, request: Request) -> Account:
    """Whose API key it is; raise -2014 without one and -2015 for a stranger's."""
    key = request.headers.get("X-MBX-APIKEY")
    if not key:
        raise error(-2014, "API-key format invalid.", 401)
    account = world.accounts.get(key)
    if account is None:
        raise error(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    return account


def signer_of(world: World, request: Request) -> Account:
    """Whose signed request it is; raise -1022 for a wrong signature and -1021 for a wrong time."""
    account = account_of(world, request)
    text, mark, signature = request.signed_text.rpartition("signature=")
    signed = text.removesuffix("&").encode()
    expected = hmac.new(account.secret.encode(), signed, hashlib.sha256).hexdigest()
    if not mark or not hmac.compare_digest(expected, signature):
        raise error(-1022, "Signature for this request is not valid.")
    _check_time(world, request)
    return account


def _check_time(world: World, request: Request) -> None:
    """The machine's time will do, and market time too, in which a second may be short."""
    stamp, window = integer(request, "timestamp"), integer(request, "recvWindow") or USUAL_WINDOW
    if stamp is None:
        raise error(-1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
    late = world.wall_ms() - stamp
    market_late = (world.now_ms() - stamp) / world.clock.speed
    if all(not -EARLY <= delay <= window for delay in (late, market_late)):
        ahead = late < 0
        raise error(
            -1021,
            "Timestamp for this request was 1000ms ahead of the server's time."
            if ahead
            else "Timestamp for this request is outside of the recvWindow.",
        )
