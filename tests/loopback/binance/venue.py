"""Binance USD-M and COIN-M as the server holds them: hosts, request weight, and the table of all routes."""

from collections.abc import Mapping
from dataclasses import replace

from tests.loopback.binance import history, listing, quotes
from tests.loopback.binance.catalog import Catalog
from tests.loopback.binance.desk import Desk
from tests.loopback.binance.streams import MarketSession, UserSession
from tests.loopback.binance.wallet import Wallet
from tests.loopback.binance.weight import Meter, weight_of
from tests.loopback.venue import Route, Routed, Session, World
from tests.loopback.wire import Answer, Refused, Request


class Binance(Routed):
    """One of the two markets; `meter` holds its request weight."""

    def __init__(self, world: World, *, inverse: bool) -> None:
        self.catalog = Catalog(world, inverse)
        self.meter = Meter(world.weight_per_minute)
        dialect = self.catalog.dialect
        self.hosts: tuple[str, ...] = (f"{dialect}.binance.com", f"{dialect[0]}stream.binance.com")
        named = (
            listing.routes(self.catalog, self.meter)
            | history.routes(self.catalog)
            | quotes.routes(self.catalog)
        )
        self._routes = {("GET", f"/{dialect}/v1/{name}"): route for name, route in named.items()}
        self.wallet = Wallet(self.catalog)
        for (method, name), route in (Desk(self.catalog).routes() | self.wallet.routes()).items():
            self._routes[method, f"/{dialect}/{name}"] = route
        data = history.data_routes(self.catalog)
        self._routes |= {("GET", f"/futures/data/{name}"): route for name, route in data.items()}

    def routes(self) -> Mapping[tuple[str, str], Route]:
        return self._routes

    def answer(self, request: Request) -> Answer:
        name = request.path.split("/", 3)[-1]
        try:
            spent = self.meter.spend(weight_of(name, request.params))
        except Refused as refused:
            return refused.answer
        answer = super().answer(request)
        return replace(answer, headers={**answer.headers, **spent})

    def dial(self, request: Request) -> Session:
        """Open a stream on the paths that are in use; USD-M closed the old ones in 2026."""
        public = "/ws" if self.catalog.inverse else "/market/ws"
        key = request.params.get("listenKey") or request.path.rpartition("/")[2]
        account = self.wallet.streams.get(key)
        if account and request.path.startswith("/ws" if self.catalog.inverse else "/private/ws"):
            return UserSession(self.catalog, account)
        if request.path.startswith((public, "/public/ws")):
            return MarketSession(self.catalog)
        raise Refused(404, {"code": -1, "msg": f"No stream at {request.path}"})
