"""Binance's account endpoints: balances, positions, leverage and modes, income, and the key of the user stream."""

import secrets
from collections.abc import Callable

from tests.loopback.binance.catalog import Catalog, error
from tests.loopback.binance.desk import Handler, Params, signed
from tests.loopback.binance.keys import account_of
from tests.loopback.binance.words import position_record
from tests.loopback.trading.account import Account
from tests.loopback.trading.records import ZERO, Leg, Position
from tests.loopback.venue import MILLISECOND, Route
from tests.loopback.wire import Record, Request

BRACKETS = ((50_000, 125, 0.004), (600_000, 100, 0.005), (10_000_000, 50, 0.01), (80_000_000, 10, 0.05))


class Wallet:
    """Tells and sets what an account has; `streams` are the listen keys in use."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.streams: dict[str, Account] = {}

    def routes(self) -> dict[tuple[str, str], Route]:
        """By method and name with its version."""
        table: dict[tuple[str, str], Handler] = {
            ("POST", "v1/leverage"): self._set_leverage,
            ("POST", "v1/marginType"): self._set_margin_type,
            ("GET", "v1/positionSide/dual"): self._legs,
            ("POST", "v1/positionSide/dual"): self._set_legs,
            ("GET", "v1/income"): self._income,
            ("GET", "v1/symbolConfig"): self._symbol_config,
            ("GET", "v1/accountConfig"): self._account_config,
            ("GET", "v1/commissionRate"): self._commission,
        }
        for version in ("v1", "v2", "v3"):
            table["GET", f"{version}/account"] = self._account
            table["GET", f"{version}/balance"] = self._balances
            table["GET", f"{version}/positionRisk"] = self._positions
            table["GET", f"{version}/leverageBracket"] = self._brackets
        keyed: dict[tuple[str, str], Callable[[Request], object]] = {
            ("POST", "v1/listenKey"): self._open_stream,
            ("PUT", "v1/listenKey"): self._keep_stream,
            ("DELETE", "v1/listenKey"): self._close_stream,
        }
        return {where: signed(self._catalog, handler) for where, handler in table.items()} | keyed

    def _coins(self, account: Account) -> list[str]:
        settling = {reel.contract.settle for reel in self._catalog.reels()}
        return [coin for coin in account.wallet if coin in settling]

    def _asset(self, account: Account, coin: str) -> Record:
        now, ledger = self._catalog.world.now(), account.ledger
        mine = [p for p in ledger.positions() if p.contract.settle == coin]
        gained = sum((ledger.unrealized(p, now) for p in mine), ZERO)
        margin = sum((ledger.margin(p, now) for p in mine), ZERO)
        wallet = account.wallet[coin]
        available = f"{max(ledger.available(coin, now), ZERO):.8f}"
        return {
            "asset": coin,
            "walletBalance": f"{wallet:.8f}",
            "unrealizedProfit": f"{gained:.8f}",
            "marginBalance": f"{wallet + gained:.8f}",
            "maintMargin": f"{sum((ledger.maintenance(p, now) for p in mine), ZERO):.8f}",
            "initialMargin": f"{margin:.8f}",
            "positionInitialMargin": f"{margin:.8f}",
            "openOrderInitialMargin": "0.00000000",
            "crossWalletBalance": f"{wallet:.8f}",
            "crossUnPnl": f"{gained:.8f}",
            "availableBalance": available,
            "maxWithdrawAmount": available,
            "marginAvailable": True,
            "updateTime": now // MILLISECOND,
        }

    def _account(self, account: Account, params: Params) -> object:
        assets = [self._asset(account, coin) for coin in self._coins(account)]
        first = assets[0] if assets else {}
        totals = {
            f"total{name[:1].upper()}{name[1:]}": value for name, value in first.items() if name != "asset"
        }
        ledger = account.ledger
        positions = [
            position_record(self._catalog, account, position)
            | {
                "leverage": str(ledger.leverage_of(position.contract)),
                "isolated": position.contract.name in ledger.isolated,
                "unrealizedProfit": str(ledger.unrealized(position, self._catalog.world.now())),
            }
            for position in self._all_positions(account)
        ]
        flags = {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True, "updateTime": 0}
        return flags | totals | {"assets": assets, "positions": positions}

    def _balances(self, account: Account, params: Params) -> object:
        return [
            self._asset(account, coin) | {"accountAlias": "SgsR", "balance": f"{account.wallet[coin]:.8f}"}
            for coin in self._coins(account)
        ]

    def _all_positions(self, account: Account) -> list[Position]:
        legs: tuple[Leg, ...] = ("LONG", "SHORT") if account.hedged else ("BOTH",)
        return [account.ledger.position(reel.contract, leg) for reel in self._catalog.reels() for leg in legs]

    def _positions(self, account: Account, params: Params) -> object:
        wanted = self._catalog.reel(params["symbol"]).contract if "symbol" in params else None
        return [
            position_record(self._catalog, account, position)
            for position in self._all_positions(account)
            if wanted is None or position.contract is wanted
        ]

    def _set_leverage(self, account: Account, params: Params) -> object:
        contract = self._catalog.reel(params.get("symbol")).contract
        leverage = int(params.get("leverage", 0))
        if not 1 <= leverage <= contract.max_leverage:
            raise error(-4028, f"Leverage {leverage} is not valid")
        account.ledger.leverage[contract.name] = leverage
        return {"leverage": leverage, "maxNotionalValue": "1000000", "symbol": params["symbol"]}

    def _set_margin_type(self, account: Account, params: Params) -> object:
        contract = self._catalog.reel(params.get("symbol")).contract
        isolated = params.get("marginType") == "ISOLATED"
        if isolated == (contract.name in account.ledger.isolated):
            raise error(-4046, "No need to change margin type.")
        if isolated:
            account.ledger.isolated.add(contract.name)
        else:
            account.ledger.isolated.discard(contract.name)
        return {"code": 200, "msg": "success"}

    def _legs(self, account: Account, params: Params) -> object:
        return {"dualSidePosition": account.hedged}

    def _set_legs(self, account: Account, params: Params) -> object:
        hedged = str(params.get("dualSidePosition")).lower() == "true"
        if hedged == account.hedged:
            raise error(-4059, "No need to change position side.")
        if account.ledger.positions():
            raise error(-4068, "Position side cannot be changed if there exists position.")
        account.hedged = hedged
        return {"code": 200, "msg": "success"}

    def _income(self, account: Account, params: Params) -> object:
        wanted = [i for i in account.ledger.incomes if i.kind == params.get("incomeType", i.kind)]
        return [
            {
                "symbol": self._catalog.symbol_of(income.contract),
                "incomeType": income.kind,
                "income": f"{income.amount:.8f}",
                "asset": income.contract.settle,
                "info": income.kind,
                "time": income.at // MILLISECOND,
                "tranId": income.id,
                "tradeId": "",
            }
            for income in wanted[-int(params.get("limit", 100)) :]
        ]

    def _symbol_config(self, account: Account, params: Params) -> object:
        return [
            {
                "symbol": self._catalog.symbol_of(reel.contract),
                "marginType": "ISOLATED" if reel.contract.name in account.ledger.isolated else "CROSSED",
                "isAutoAddMargin": False,
                "leverage": account.ledger.leverage_of(reel.contract),
                "maxNotionalValue": "1000000",
            }
            for reel in self._catalog.reels()
            if params.get("symbol", self._catalog.symbol_of(reel.contract))
            == self._catalog.symbol_of(reel.contract)
        ]

    def _account_config(self, account: Account, params: Params) -> object:
        return {
            "feeTier": 0,
            "canTrade": True,
            "dualSidePosition": account.hedged,
            "multiAssetsMargin": False,
        }

    def _commission(self, account: Account, params: Params) -> object:
        rates = {"makerCommissionRate": "0.000200", "takerCommissionRate": "0.000500"}
        return {"symbol": params.get("symbol", "")} | rates

    def _brackets(self, account: Account, params: Params) -> object:
        return [
            {
                "symbol": self._catalog.symbol_of(reel.contract),
                "brackets": _brackets(reel.contract.max_leverage),
            }
            for reel in self._catalog.reels()
        ]

    def _open_stream(self, request: Request) -> object:
        account = account_of(self._catalog.world, request)
        key = next((key for key, owner in self.streams.items() if owner is account), secrets.token_hex(32))
        self.streams[key] = account
        return {"listenKey": key}

    def _keep_stream(self, request: Request) -> object:
        account = account_of(self._catalog.world, request)
        if account not in self.streams.values():
            raise error(-1125, "This listenKey does not exist.")
        return {}

    def _close_stream(self, request: Request) -> object:
        account = account_of(self._catalog.world, request)
        self.streams = {key: owner for key, owner in self.streams.items() if owner is not account}
        return {}


def _brackets(max_leverage: int) -> list[Record]:
    floors = [0, *(cap for cap, _, _ in BRACKETS)]
    return [
        {
            "bracket": number,
            "initialLeverage": min(leverage, max_leverage),
            "notionalCap": cap,
            "notionalFloor": floor,
            "maintMarginRatio": ratio,
            "cum": 0.0,
        }
        for number, (floor, (cap, leverage, ratio)) in enumerate(zip(floors, BRACKETS, strict=False), 1)
    ]
