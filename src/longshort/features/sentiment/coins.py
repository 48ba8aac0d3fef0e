"""Which coins a headline is about: names of large coins, and the tickers of the coins at hand.

A name counts in any case, and the longest wins: "Bitcoin Cash" is not about Bitcoin. A ticker counts in capitals, and
where capitals stand for something else too, or all of the text is in them, only as people mark one: $ONE, #ONE, (ONE),
ONE/USD. A headline that names no coin is about the market, and so about every coin.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64

Weights = Float64[np.ndarray, "text asset"]

MARKET_WEIGHT = 0.5  # of a headline on the whole market, for each coin; one on the coin by name weighs 1

NAMES = MappingProxyType(
    {
        "AAVE": ("aave",), "ADA": ("cardano",), "ALGO": ("algorand",), "APT": ("aptos",), "ARB": ("arbitrum",),
        "ATOM": ("cosmos hub", "cosmos network"), "AVAX": ("avalanche network", "avalanche blockchain"),
        "BCH": ("bitcoin cash", "bcash"), "BNB": ("bnb", "binance coin", "binance smart chain", "bnb chain"),
        "BSV": ("bitcoin sv", "bitcoin satoshi vision"), "BTC": ("bitcoin", "bitcoins", "btc", "xbt"),
        "BTG": ("bitcoin gold",), "CAKE": ("pancakeswap",), "COMP": ("compound finance",), "CRV": ("curve finance",),
        "DASH": (), "DOGE": ("dogecoin", "dogecoins", "doge"), "DOT": ("polkadot",), "EOS": (),
        "ETC": ("ethereum classic", "ether classic"), "ETH": ("ethereum", "ethereums", "ether", "eth"),
        "FIL": ("filecoin",), "FTT": ("ftx token",), "GRT": ("the graph protocol",), "HBAR": ("hedera", "hashgraph"),
        "ICP": ("internet computer", "dfinity"), "INJ": ("injective protocol",), "IOTA": (),
        "LINK": ("chainlink",), "LTC": ("litecoin", "litecoins", "ltc"), "LUNA": ("terra luna", "terraform labs"),
        "MKR": ("makerdao",), "NEAR": ("near protocol",), "OP": ("optimism network", "optimism mainnet"),
        "PEPE": ("pepecoin",), "POL": ("polygon",), "MATIC": ("polygon",), "SAND": ("the sandbox",),
        "SHIB": ("shiba inu",), "SOL": ("solana",), "SUI": ("sui network", "sui blockchain"), "SUSHI": ("sushiswap",),
        "TON": ("toncoin", "the open network"), "TRX": ("tron", "tronix"), "UNI": ("uniswap",), "VET": ("vechain",),
        "WAVES": ("waves platform",), "XLM": ("stellar lumens", "stellar network", "stellar blockchain"),
        "XMR": ("monero",), "XRP": ("ripple", "ripples", "xrp"), "XTZ": ("tezos",), "ZEC": ("zcash",),
    }
)  # fmt: skip
NO_COIN = ("ripple effect", "ripple effects")  # a name, and yet another thing
SHOUTED = "ACE AI ALL ANY API BAND BIG BOND CEO DAO DOT EDU ETF EU FOR FUN GO HIGH HOT ICE ID IN IO IPO KEY LINK MASK"
WORDS = frozenset(f"{SHOUTED} NFT NOT ONE OP PEOPLE SEC SKY SUN SUPER TON TRU UK US USA WIN".split())
MULTIPLES = re.compile(r"^(?:1000+|1M)(?=[A-Z])")  # 1000PEPE is a contract on a thousand of them


def coin_weights(texts: Sequence[str], coins: Sequence[str]) -> Weights:
    """How much each text counts for each coin (`Instrument.base`): 1 where it is named, a market's half, or 0.

    A text about a coin that is not at hand counts for none, as long as the table knows its name.

    >>> coin_weights(["Bitcoin jumps, ether follows", "Crypto slumps", "Litecoin halves"], ("BTC", "SOL")).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]]
    """
    tickers = [MULTIPLES.sub("", coin.upper()) for coin in coins]
    weights = np.zeros((len(texts), len(coins)))
    for row, text in enumerate(texts):
        named = coins_named(text, tuple(tickers))
        weights[row] = [ticker in named for ticker in tickers] if named else MARKET_WEIGHT
    return weights


def coins_named(text: str, tickers: tuple[str, ...] = ()) -> frozenset[str]:
    """The tickers of the coins that a text names, out of ours and those handed in.

    >>> sorted(coins_named("Ethereum Classic (ETC) beats $sol and DOGE; one more link, says the SEC"))
    ['DOGE', 'ETC', 'SOL']
    """
    names, by_name = _names()
    found = {
        ticker for match in names.finditer(text) for ticker in by_name[" ".join(match[0].lower().split())]
    }
    marked, capitals = _tickers(tickers)
    found |= {next(filter(None, match.groups())).upper() for match in marked.finditer(text)}
    if text != text.upper():
        found |= {match[0] for match in capitals.finditer(text)}
    return frozenset(found)


@lru_cache(maxsize=1)
def _names() -> tuple[re.Pattern[str], dict[str, tuple[str, ...]]]:
    by_name: dict[str, tuple[str, ...]] = dict.fromkeys(NO_COIN, ())
    for ticker, names in NAMES.items():
        by_name |= {name: (*by_name.get(name, ()), ticker) for name in names}
    either = "|".join(r"\s+".join(map(re.escape, name.split())) for name in _longest_first(by_name))
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE), by_name


@lru_cache(maxsize=8)
def _tickers(extra: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Tickers as people mark them, and those that are plain in capitals."""
    known = _longest_first({*NAMES, *extra})
    any_of, plain = (
        "|".join(map(re.escape, chosen))
        for chosen in (known, [t for t in known if t not in WORDS and len(t) >= 3])
    )
    quoted = rf"(?<!\w)({any_of})[/-]?(?:USDT?|USDC|BTC|EUR|PERP)(?!\w)"
    marked = re.compile(rf"(?i:[$#]({any_of}))(?!\w)|[(\[]\$?({any_of})[)\]]|{quoted}")
    return marked, re.compile(rf"(?<![\w$#])(?:{plain})(?!\w)")


def _longest_first(words: Iterable[str]) -> list[str]:
    return sorted(words, key=lambda word: (-len(word), word))
