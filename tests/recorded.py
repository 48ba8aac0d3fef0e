"""Answers of the venues as others recorded or documented them, put in the place of ccxt's wire; no server, no sockets.

They prove shapes: how contracts, candles, funding and open interest are written, not how pages of them join; for that
the loopback exchange is there. Whatever is asked of a path, its one recorded answer comes.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

FIXTURES = Path(__file__).parents[2] / "shared" / "fixtures" / "ccxt"
COINM, BINGX, BITGET = (
    "jkorf/binance_coinm/rest",
    "jkorf/bingx/rest/PerpetualFutures/ExchangeData",
    "jkorf/bitget/rest/Futures/ExchangeData",
)
USDM = "nautilus/binance_futures/http_futures_market"
Params = Mapping[str, str]
Answer = str | Callable[[Params], object]


class Wire:
    """Takes the place of one client's `fetch`."""

    def __init__(self, venue: str) -> None:
        self._answers = ANSWERS[venue]

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> object:
        """What ccxt gets from the venue."""
        parts = urlsplit(url)
        answer = next(found for path, found in self._answers.items() if parts.path.endswith(path))
        return recorded(answer) if isinstance(answer, str) else answer(dict(parse_qsl(parts.query)))


def recorded(name: str) -> Any:
    """A recorded answer, without what its recorder wrapped around it."""
    content = json.loads((FIXTURES / f"{name}.json").read_text())
    return content.get("response", content) if isinstance(content, dict) else content


def _bybit_instruments(asked: Params) -> object:
    """With the words that the recording lacks, see the README beside it."""
    answer = recorded(f"nautilus/bybit/http_get_instruments_{asked['category']}")
    for contract in answer["result"]["list"]:
        contract["fundingInterval"] = 480
    listed = [] if "status" in asked else answer["result"]["list"]
    return answer | {"result": {"category": asked["category"], "list": listed, "nextPageCursor": ""}}


def _bitget_contracts(asked: Params) -> object:
    products = {"USDT": "USDT-FUTURES", "USD": "COIN-FUTURES", "USDC": "USDC-FUTURES"}
    contracts = recorded("ccxt_static/bitget_v2_contracts")["data"]
    listed = [contract for contract in contracts if products[contract["quoteCoin"]] == asked["productType"]]
    return {"code": "00000", "msg": "success", "data": listed}


ANSWERS: Mapping[str, Mapping[str, Answer]] = MappingProxyType(
    {
        "binanceusdm": {
            "/exchangeInfo": f"{USDM}_exchange_info",
            "/klines": f"{USDM}_klines",
            "/markPriceKlines": f"{USDM}_mark_price_klines",
            "/fundingRate": f"{USDM}_funding_rate",
            "/openInterestHist": f"{USDM}_open_interest_historical",
        },
        "binancecoinm": {
            "/exchangeInfo": f"{COINM}/dapi_v1_exchangeInfo_GET",
            "/klines": f"{COINM}/dapi_v1_klines_GET",
            "/openInterestHist": f"{COINM}/futures_data_openInterestHist_GET",
        },
        "bybit": {
            "/instruments-info": _bybit_instruments,
            "/kline": "nautilus/bybit/http_get_klines_linear",
        },
        "bitget": {
            "/contracts": _bitget_contracts,
            "/history-candles": f"{BITGET}/GetHistoricalKlines",
            "/history-mark-candles": f"{BITGET}/GetHistoricalMarkPriceKlines",
            "/history-fund-rate": f"{BITGET}/GetHistoricalFundingRate",
        },
        "bingx": {
            "/common/symbols": lambda asked: {"code": 0, "data": {"symbols": []}},
            "/quote/contracts": lambda asked: recorded("ccxt_static/bingx_contracts")["linear_contracts"],
            "/market/contracts": lambda asked: recorded("ccxt_static/bingx_contracts")["inverse_contracts"],
            "/quote/klines": f"{BINGX}/GetKlines",
            "/markPriceKlines": f"{BINGX}/GetMarkPriceKlines",
            "/fundingRate": f"{BINGX}/GetFundingRateHistory",
        },
        "okx": {
            "/instruments": lambda asked: recorded(
                f"nautilus/okx/http_get_instruments_{asked['instType'].lower()}"
            ),
            "/history-candles": "nautilus/okx/http_get_candlesticks_full",
            "/funding-rate-history": "nautilus/okx/http_get_funding_rate_history",
        },
        "krakenfutures": {
            "/instruments": "nautilus/kraken/http_futures_instruments",
            "/1h": "nautilus/kraken/http_futures_candles_trade",
            "/historicalfundingrates": "nautilus/kraken/http_futures_historical_funding_rates",
        },
    }
)
