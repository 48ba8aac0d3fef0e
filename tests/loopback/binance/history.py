"""Binance's past: klines of four kinds, funding rates, open interest.

Klines of USD-M come oldest first from `startTime`; those of COIN-M are the newest before `endTime`. Both end with
the unfinished bar. Open interest reaches back 30 days.
"""

import numpy as np

from tests.loopback.binance.catalog import INTERVALS, Catalog, error, limit_of, window_of
from tests.loopback.candles import CLOSE, DAY, HIGH, LOW, VOLUME, Candles
from tests.loopback.tape import FOREVER, Contract, Price, Reel, Samples
from tests.loopback.venue import MILLISECOND, Route
from tests.loopback.wire import Answer, Record, Request

PERIODS = tuple(name for name in INTERVALS if name not in ("1m", "3m", "8h", "3d", "1w"))
MOST_BARS, MOST_SAMPLES, MOST_FUNDING = 1_500, 500, 1_000
OPEN_INTEREST_REACH = 30 * DAY
COIN_M_REACH = 200 * DAY  # the longest window; the code of its refusal is a guess


def routes(catalog: Catalog) -> dict[str, Route]:
    """By name after the version."""
    return {
        "klines": lambda request: _klines(catalog, request, "trade"),
        "markPriceKlines": lambda request: _klines(catalog, request, "mark"),
        "indexPriceKlines": lambda request: _klines(catalog, request, "index"),
        "premiumIndexKlines": lambda request: _premium_klines(catalog, request),
        "fundingRate": lambda request: _funding_rates(catalog, request),
    }


def data_routes(catalog: Catalog) -> dict[str, Route]:
    """By name after /futures/data."""
    return {"openInterestHist": lambda request: _open_interest(catalog, request)}


def _klines(catalog: Catalog, request: Request, kind: Price) -> Answer:
    params = request.params
    reel = catalog.reel_of_pair(params.get("pair")) if kind == "index" else catalog.reel(params.get("symbol"))
    page = request.spoil(_page(catalog, request, reel, kind))
    return Answer(body=kline_rows(page, reel.contract, kind))


def _premium_klines(catalog: Catalog, request: Request) -> Answer:
    reel = catalog.reel(request.params.get("symbol"))
    mark, index = (_page(catalog, request, reel, kind) for kind in ("mark", "index"))
    premium = np.zeros_like(mark.values)
    premium[:, :VOLUME] = mark.values[:, :VOLUME] / index.values[:, :VOLUME] - 1.0
    premium[:, HIGH] = premium[:, :VOLUME].max(axis=1, initial=-1.0)
    premium[:, LOW] = premium[:, :VOLUME].min(axis=1, initial=1.0)
    page = request.spoil(Candles(mark.interval, mark.opened_at, premium))
    return Answer(body=kline_rows(page, reel.contract, "mark"))


def _page(catalog: Catalog, request: Request, reel: Reel, kind: Price) -> Candles:
    interval = INTERVALS.get(request.params.get("interval", ""))
    if interval is None:
        raise error(-1120, "Invalid interval.")
    limit = limit_of(request, 500, MOST_BARS)
    start_at, end_at = window_of(request)
    if catalog.inverse and start_at is not None:
        end_at = start_at + COIN_M_REACH if end_at is None else end_at
        if end_at - start_at > COIN_M_REACH:
            raise error(-1128, "Combination of optional parameters invalid.")
    window = (start_at or 0, FOREVER if end_at is None else end_at + 1)
    page = reel.shown(kind, interval, catalog.world.now(), window)
    newest = start_at is None or catalog.inverse
    return page.last(limit) if newest else page.first(limit)


def kline_rows(page: Candles, contract: Contract, kind: Price) -> bytes:
    """Twelve columns a row: text for what has decimals; mark and index rows have no volume."""
    opened = (page.opened_at // MILLISECOND).tolist()
    length = page.interval // MILLISECOND - 1
    if kind != "trade":
        row = '[%d,"%.8f","%.8f","%.8f","%.8f","0",%d,"0",60,"0","0","0"]'
        prices = page.values[:, :VOLUME].tolist()
        return (
            "[" + ",".join(row % (at, *v, at + length) for at, v in zip(opened, prices, strict=True)) + "]"
        ).encode()
    price = f'"%.{contract.price_decimals}f"'
    row = f'[%d,{price},{price},{price},{price},"%.3f",%d,"%.5f",100,"%.3f","%.5f","0"]'
    close, volume = page.values[:, CLOSE], page.values[:, VOLUME]
    other = volume * float(contract.size) / close if contract.inverse else volume * close
    columns = zip(opened, page.values.tolist(), other.tolist(), strict=True)
    return (
        "[" + ",".join(row % (at, *v, at + length, o, 0.5 * v[VOLUME], 0.5 * o) for at, v, o in columns) + "]"
    ).encode()


def _funding_rates(catalog: Catalog, request: Request) -> object:
    named = request.params.get("symbol")
    limit = limit_of(request, 100, MOST_FUNDING)
    start_at, end_at = window_of(request)
    now = catalog.world.now()
    to_at = (now if end_at is None else min(end_at, now)) + 1
    rows: list[Record] = []
    for reel in [catalog.reel(named)] if named else catalog.reels():
        settled = reel.funding.between(start_at or 0, to_at).tail(limit, newest=start_at is None)
        symbol = catalog.symbol_of(reel.contract)
        rows += [
            {
                "symbol": symbol,
                "fundingRate": f"{rate:.8f}",
                "fundingTime": at // MILLISECOND,
                "markPrice": f"{reel.price('mark', at):.8f}",
            }
            for at, rate in settled
        ]
    return rows


def _open_interest(catalog: Catalog, request: Request) -> object:
    params, now = request.params, catalog.world.now()
    reel = catalog.reel_of_pair(params.get("pair")) if catalog.inverse else catalog.reel(params.get("symbol"))
    if params.get("period") not in PERIODS:
        raise error(-1130, "Data sent for parameter 'period' is not valid.")
    limit = limit_of(request, 30, MOST_SAMPLES)
    start_at, end_at = window_of(request)
    if start_at is not None and start_at < now - OPEN_INTEREST_REACH:
        raise error(-1130, "Data sent for parameter 'startTime' is not valid.")
    oldest = now - OPEN_INTEREST_REACH if start_at is None else start_at
    seen = reel.open_interest.between(oldest, (now if end_at is None else min(end_at, now)) + 1)
    on_period = seen.at % INTERVALS[params["period"]] == 0
    chosen = Samples(seen.at[on_period], seen.value[on_period]).tail(limit, newest=start_at is None)
    perpetual = {"pair": params.get("pair"), "contractType": "PERPETUAL"}
    named = perpetual if catalog.inverse else {"symbol": catalog.symbol_of(reel.contract)}
    return [
        named
        | {
            "sumOpenInterest": f"{value:.8f}",
            "sumOpenInterestValue": f"{value * reel.price('trade', at):.8f}",
            "timestamp": at // MILLISECOND,
        }
        for at, value in chosen
    ]
