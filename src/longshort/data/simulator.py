"""An embedded market whose law is known: correlated hourly perpetuals with funding, made from a seed.

It copies what real hourly bars do (see `facts`) and exposes the exact law that every return was drawn from.
It copies no coin. Longer or wider simulations of one seed extend shorter and narrower ones, value for value.

    standard deviation of a bar = usual x season(hour, weekday) x exp(slow and fast regimes) x sqrt(GJR-GARCH)
    log return = mean + standard deviation x shock,   shock = jump x Student-t, scaled to variance 1
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from jaxtyping import Float64, Int64
from scipy import special

from longshort.base.clock import DAY, HOUR, Interval, parse_instant
from longshort.base.errors import DataError
from longshort.base.instrument import Instrument
from longshort.data.bars import Bars, Grid

VENUE = "embedded"
FIRST_CLOSED_AT = parse_instant("2024-01-01T01:00Z")
BARS_PER_YEAR = 8_766

# Volatility by hour (UTC) of a bar's open and by weekday from Monday: nine perpetuals, 2023-01 to 2025-06.
HOUR_OF_DAY = np.array(
    [
        [1.14, 1.15, 0.99, 0.85, 0.82, 0.84, 0.87, 0.89, 0.97, 0.89, 0.84, 0.85],
        [0.97, 1.17, 1.31, 1.29, 1.12, 1.15, 1.05, 1.06, 1.02, 0.96, 0.98, 0.82],
    ]
).ravel()
WEEKDAY = np.array([1.16, 1.08, 1.07, 1.04, 1.04, 0.77, 0.84])

# The mean that `season` plants, by the same: over a week it averages 0 and its square 1, hours being 80 % of that.
HOUR_MEAN = np.sqrt(1.6) * np.cos(2.0 * np.pi * (np.arange(24) - 15.0) / 24.0)
WEEKDAY_MEAN = np.sqrt(0.2 * 7.0 / 7.5) * np.array([1.0, 1.0, 1.0, 0.0, 0.0, -1.5, -1.5])

REGIME_HALFLIFE_HOURS = np.array([8.0, 90.0, 1_500.0])
REGIME_STD = np.array([0.26, 0.32, 0.36])  # of log volatility, market and coin together
MARKET_SHARE = 0.8  # of the regimes' variance that all coins have in common
NEWS, ASYMMETRY, MEMORY = 0.10, 0.03, 0.70  # GJR-GARCH: on any shock, on a fall, on yesterday's variance
NEWS_CAP = 16.0  # a squared shock beyond four deviations counts as four: one bar cannot blow up the next
NEWS_MEAN = 0.94  # of a squared shock after that cap, so that the GARCH variance averages one
SHARED_DF, OWN_DF = 3.5, 1.5  # a chi-square of 3.5 common to all coins and one of 1.5 each: marginals have 5
MARKET_JUMP, COIN_JUMP, JUMP_MULTIPLE = 0.0006, 0.0009, 3.5  # chances per bar; a jump multiplies the shock
DF, JUMP_CHANCE = SHARED_DF + OWN_DF, 1.0 - (1.0 - MARKET_JUMP) * (1.0 - COIN_JUMP)
EDGE_CLIP = 3.0
GAP_STD = 0.5e-4  # every second bar opens at the previous close, the others within a basis point or so
FUNDING_MEAN, FUNDING_STD, FUNDING_MEMORY = 0.8e-4, 0.9e-4, 0.8  # per settlement
FUNDING_EVERY = 8 * HOUR
FIRST_PRICES = (42_000.0, 2_300.0, 310.0, 100.0, 15.0, 0.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueLaw:
    """The law of each coin's next log return, close to close, given everything up to that row's close.

    Everything includes the volatility regimes, which no forecaster sees: nobody could know more.
    With `jump_probability` the scale is `jump_multiple` times larger: a mixture of two Student-t laws.
    Closes are rounded to the tick, less than 0.001 of a standard deviation.
    """

    mean: Grid
    scale: Grid
    df: float
    jump_probability: float
    jump_multiple: float

    @property
    def std(self) -> Grid:
        """The standard deviation, jumps included."""
        return self.scale * _shock_std(self.df, self.jump_probability, self.jump_multiple)

    def cdf(self, value: Grid) -> Grid:
        """The probability of at most `value`."""
        z = (value - self.mean) / self.scale
        calm, jump = special.stdtr(self.df, z), special.stdtr(self.df, z / self.jump_multiple)
        return (1.0 - self.jump_probability) * calm + self.jump_probability * jump

    def log_density(self, value: Grid) -> Grid:
        """Natural logarithm of the density."""
        z = (value - self.mean) / self.scale
        jump = _t_density(self.df, z / self.jump_multiple) / self.jump_multiple
        mixture = (1.0 - self.jump_probability) * _t_density(self.df, z) + self.jump_probability * jump
        return np.log(mixture / self.scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A market and the truth about it; row t of `truth` is the law of the return from row t to t + 1."""

    bars: Bars
    truth: TrueLaw


@dataclass(frozen=True, slots=True)
class _Shocks:
    """Draws with variance one, and each bar's standard deviation once its tail and jump are known."""

    value: Grid
    wildness: Grid


def simulate_market(
    coins: int, bars: int, *, edge: float = 0.0, season: float = 0.0, seed: int = 1
) -> Simulation:
    """Make a market of hourly bars.

    `edge` plants what can be known about the next return: its mean is `-edge` standard deviations times the
    last shock (itself in standard deviations, clipped at 3), so that moves partly reverse. `season` adds a mean by hour
    and weekday whose root mean square over a week is `season` times the coin's usual standard deviation, however
    wild the hour is. With both at 0 log prices are a martingale: nothing predicts direction.

    >>> simulate_market(2, 48, seed=7).bars.close.shape
    (48, 2)
    """
    closed_at = FIRST_CLOSED_AT + HOUR * np.arange(bars, dtype=np.int64)
    shocks = _shocks(coins, bars, seed)
    usual = (0.40 + 0.45 * _spread(coins)) / np.sqrt(BARS_PER_YEAR)
    std = _standard_deviation(usual, closed_at, shocks.value, seed)
    last_shock = np.clip(shocks.value, -EDGE_CLIP, EDGE_CLIP)
    mean = -edge * std[1:] * last_shock
    if season:
        planted = HOUR_MEAN[closed_at // HOUR % 24] + WEEKDAY_MEAN[(closed_at // DAY + 3) % 7]
        mean = mean + season * usual * planted[:, None]
    scale = std[1:] / _shock_std(DF, JUMP_CHANCE, JUMP_MULTIPLE)
    truth = TrueLaw(mean=mean, scale=scale, df=DF, jump_probability=JUMP_CHANCE, jump_multiple=JUMP_MULTIPLE)
    arrived = np.vstack([np.zeros((1, coins)), mean[:-1]]) + std[:-1] * shocks.value
    return Simulation(bars=bars_of(closed_at, arrived, std[:-1] * shocks.wildness, seed), truth=truth)


def _shocks(coins: int, bars: int, seed: int) -> _Shocks:
    """One market factor, one own factor per coin, partly shared fat tails, partly shared jumps."""
    loading = 0.74 + 0.23 * _spread(coins)
    market = _stream(seed, 0, "normal").standard_normal(bars)[:, None]
    own = _normals(coins, bars, seed, "normal")
    normal = loading * market + np.sqrt(1.0 - loading**2) * own
    shared = _stream(seed, 0, "tail").chisquare(SHARED_DF, bars)[:, None]
    own_tail = [_stream(seed, who, "tail").chisquare(OWN_DF, bars) for who in range(1, coins + 1)]
    tail = shared + np.stack(own_tail, axis=1)
    everywhere = _stream(seed, 0, "jump").random(bars)[:, None] < MARKET_JUMP
    alone = _uniforms(coins, bars, seed, "jump") < COIN_JUMP
    jump = np.where(everywhere | alone, JUMP_MULTIPLE, 1.0)
    wildness = jump * np.sqrt(DF / tail) / _shock_std(DF, JUMP_CHANCE, JUMP_MULTIPLE)
    return _Shocks(normal * wildness, wildness)


def _standard_deviation(
    usual: Float64[np.ndarray, " asset"], closed_at: Int64[np.ndarray, " time"], shock: Grid, seed: int
) -> Float64[np.ndarray, "later_time asset"]:
    """Of each bar's return, and of one bar more: row t knows the shocks of rows before t only."""
    bars, coins = shock.shape
    opened_at = np.append(closed_at - HOUR, closed_at[-1])
    season = HOUR_OF_DAY[opened_at // HOUR % 24] * WEEKDAY[(opened_at // DAY + 3) % 7]
    regime = np.exp(_regimes(coins, bars + 1, seed) - 0.5 * np.sum(REGIME_STD**2))
    news = np.minimum(shock**2, NEWS_CAP) * (NEWS + ASYMMETRY * (shock < 0.0)) + MEMORY
    constant = 1.0 - (NEWS + 0.5 * ASYMMETRY) * NEWS_MEAN - MEMORY
    variance = np.ones((bars + 1, coins))
    for t in range(bars):
        variance[t + 1] = constant + news[t] * variance[t]
    return usual * season[:, None] * regime * np.sqrt(variance)


def _regimes(coins: int, bars: int, seed: int) -> Float64[np.ndarray, "time asset"]:
    """Log volatility: three autoregressions for the market and for each coin, stationary from the start."""
    phi = 0.5 ** (1.0 / REGIME_HALFLIFE_HOURS)
    draws = [_stream(seed, who, "regime").standard_normal((bars, len(phi))) for who in range(coins + 1)]
    share = np.array([MARKET_SHARE] + coins * [1.0 - MARKET_SHARE])[:, None]
    path = np.stack(draws, axis=1) * REGIME_STD * np.sqrt(share)  # (time, market and coins, regime)
    path[1:] *= np.sqrt(1.0 - phi**2)
    for t in range(1, bars):
        path[t] += phi * path[t - 1]
    total = path.sum(axis=-1)
    return total[:, :1] + total[:, 1:]


def bars_of(closed_at: Int64[np.ndarray, " time"], log_return: Grid, inside: Grid, seed: int) -> Bars:
    """Hourly bars with these returns from close to close, whose prices move inside a bar with a deviation `inside`."""
    bars, coins = log_return.shape
    instruments = tuple(_instrument(k) for k in range(coins))
    per_unit = np.array([float(1 / i.tick) for i in instruments])
    first = np.array([FIRST_PRICES[k % len(FIRST_PRICES)] for k in range(coins)])
    close = first * np.exp(np.cumsum(log_return, axis=0))
    if not np.isfinite(close).all() or (close * per_unit < 1e4).any():
        raise DataError(
            "a simulated price fell to nothing or rose beyond reason.",
            where=VENUE,
            remedy="Use fewer bars or another seed.",
        )
    previous = np.vstack([first[None], close[:-1]])
    gap = np.where(
        _uniforms(coins, bars, seed, "gapped") < 0.5, GAP_STD * _normals(coins, bars, seed, "gap"), 0.0
    )
    opened = previous * np.exp(gap)
    up = _uniforms(coins, bars, seed, "high")
    down = _uniforms(coins, bars, seed, "low")
    high = opened * np.exp(_reach(opened, close, inside, up))
    low = opened * np.exp(-_reach(close, opened, inside, down))
    opened, high, low, close = (np.round(price * per_unit) / per_unit for price in (opened, high, low, close))
    high, low = np.maximum.reduce([opened, high, close]), np.minimum.reduce([opened, low, close])
    everywhere = np.ones((bars, coins), dtype=bool)
    return Bars(
        venue=VENUE,
        interval=Interval(HOUR),
        instruments=instruments,
        closed_at=closed_at,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=_volume(inside, close, instruments, seed),
        present=everywhere,
        listed=everywhere,
        funding_rate=_funding(closed_at, log_return, seed),
        funding_covered=everywhere,
    )


def _reach(start: Grid, end: Grid, std: Grid, uniform: Grid) -> Grid:
    """How far above its start a Brownian bridge climbs: exact inverse of its distribution function."""
    move = np.log(end / start)
    return 0.5 * (move + np.sqrt(move**2 - 2.0 * std**2 * np.log1p(-uniform)))


def _volume(inside: Grid, close: Grid, instruments: tuple[Instrument, ...], seed: int) -> Grid:
    """Contracts traded: more in wild bars, with noise of its own that remembers."""
    bars, coins = inside.shape
    noise = 0.25 * _normals(coins, bars, seed, "volume")
    noise[1:] *= np.sqrt(1.0 - 0.8**2)
    for t in range(1, bars):
        noise[t] += 0.8 * noise[t - 1]
    per_coin = np.array([float(1 / i.lot) for i in instruments])
    notional = 5e7 * (inside / 0.005) * np.exp(noise)
    return np.maximum(np.round(notional / close * per_coin), 1.0) / per_coin


def _funding(closed_at: Int64[np.ndarray, " time"], log_return: Grid, seed: int) -> Grid:
    """A rate every eight hours that remembers, and that rises when the price has risen."""
    bars, coins = log_return.shape
    settles = closed_at % FUNDING_EVERY == 0
    count = int(settles.sum())
    draws = _normals(coins, count, seed, "funding")
    moved = np.diff(np.cumsum(log_return, axis=0)[settles], axis=0, prepend=np.zeros((1, coins)))
    push = FUNDING_STD * (np.sqrt(1.0 - FUNDING_MEMORY**2) * draws + 5.0 * np.clip(moved, -0.1, 0.1))
    rate = np.full((bars, coins), np.nan)
    level = np.zeros(coins)
    for row, step in zip(np.flatnonzero(settles), push, strict=True):
        level = FUNDING_MEMORY * level + step
        rate[row] = np.round(FUNDING_MEAN + level, 8)
    return rate


def _instrument(k: int) -> Instrument:
    price = FIRST_PRICES[k % len(FIRST_PRICES)]
    magnitude = int(np.floor(np.log10(price)))
    return Instrument(
        symbol=f"SIM{k + 1:02d}USDT",
        venue=VENUE,
        base=f"SIM{k + 1:02d}",
        quote="USDT",
        settle="USDT",
        tick=Decimal(1).scaleb(magnitude - 7),
        lot=Decimal(1).scaleb(min(1 - magnitude, 0)),
    )


_STREAMS = ("normal", "tail", "jump", "regime", "gapped", "gap", "high", "low", "volume", "funding")


def _stream(seed: int, who: int, what: str) -> np.random.Generator:
    """Randomness of its own per coin (0: the market) and purpose: a longer run extends a shorter one."""
    return np.random.default_rng((seed % 2**63, who, _STREAMS.index(what)))


def _normals(coins: int, bars: int, seed: int, what: str) -> Grid:
    return np.stack([_stream(seed, who, what).standard_normal(bars) for who in range(1, coins + 1)], axis=1)


def _uniforms(coins: int, bars: int, seed: int, what: str) -> Grid:
    return np.stack([_stream(seed, who, what).random(bars) for who in range(1, coins + 1)], axis=1)


def _spread(coins: int) -> Float64[np.ndarray, " asset"]:
    """Numbers in [0, 1) that fill the range evenly however many are taken."""
    return np.arange(coins) * 0.618 % 1.0


def _shock_std(df: float, jump_probability: float, jump_multiple: float) -> float:
    """The standard deviation of a Student-t draw with jumps, at scale 1."""
    return float(np.sqrt(df / (df - 2.0) * (1.0 + jump_probability * (jump_multiple**2 - 1.0))))


def _t_density(df: float, z: Grid) -> Grid:
    norm = special.gammaln(0.5 * (df + 1.0)) - special.gammaln(0.5 * df) - 0.5 * np.log(df * np.pi)
    return np.exp(norm - 0.5 * (df + 1.0) * np.log1p(z * z / df))
