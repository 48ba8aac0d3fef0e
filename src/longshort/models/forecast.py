"""What a model believes about the log returns to come: one law per row, coin and horizon."""

from dataclasses import dataclass, replace
from html import escape
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64
from scipy import special

Values = Float64[np.ndarray, "time asset horizon"]


@runtime_checkable
class Law(Protocol):
    """A distribution per cell; every method is elementwise and returns NaN where the law is unknown."""

    def __getitem__(self, rows: slice) -> "Law":
        """The same law between two rows."""
        ...

    def join(self, *later: Any) -> "Law":
        """One law of these rows and those of laws of the same kind that follow them."""
        ...

    def mean(self) -> Values:
        """The expected value."""
        ...

    def variance(self) -> Values:
        """The expected squared deviation from the mean."""
        ...

    def cdf(self, value: Values) -> Values:
        """The probability of at most `value`."""
        ...

    def quantile(self, level: float) -> Values:
        """The value that is not exceeded with probability `level`."""
        ...

    def log_density(self, value: Values) -> Values:
        """The natural logarithm of the density; NaN for a law without one."""
        ...

    def crps(self, value: Values) -> Values:
        """The continuous ranked probability score, in units of the value: smaller is better."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentT:
    """Location, scale and degrees of freedom per cell; `df` must exceed 2 for the variance to exist."""

    loc: Values
    scale: Values
    df: Values

    def __getitem__(self, rows: slice) -> "StudentT":
        """The same law between two rows."""
        return StudentT(loc=self.loc[rows], scale=self.scale[rows], df=self.df[rows])

    def join(self, *later: "StudentT") -> "StudentT":
        """One law of these rows and those that follow them."""
        parts = (self, *later)
        return StudentT(
            loc=np.concatenate([part.loc for part in parts]),
            scale=np.concatenate([part.scale for part in parts]),
            df=np.concatenate([part.df for part in parts]),
        )

    def mean(self) -> Values:
        """The expected value."""
        return self.loc

    def variance(self) -> Values:
        """Scale squared times df / (df - 2)."""
        return self.scale**2 * self.df / (self.df - 2.0)

    def cdf(self, value: Values) -> Values:
        """The probability of at most `value`."""
        return special.stdtr(self.df, (value - self.loc) / self.scale)

    def quantile(self, level: float) -> Values:
        """The value that is not exceeded with probability `level`."""
        return self.loc + self.scale * special.stdtrit(self.df, level)

    def log_density(self, value: Values) -> Values:
        """Natural logarithm of the density."""
        z = (value - self.loc) / self.scale
        half = 0.5 * (self.df + 1.0)
        norm = special.gammaln(half) - special.gammaln(0.5 * self.df) - 0.5 * np.log(self.df * np.pi)
        return norm - np.log(self.scale) - half * np.log1p(z * z / self.df)

    def crps(self, value: Values) -> Values:
        """Closed form of Jordan, Krüger and Lerch (2019), "Evaluating probabilistic forecasts", appendix A."""
        z = (value - self.loc) / self.scale
        df = self.df
        density = np.exp(
            special.gammaln(0.5 * (df + 1.0)) - special.gammaln(0.5 * df) - 0.5 * np.log(df * np.pi)
            - 0.5 * (df + 1.0) * np.log1p(z * z / df)
        )  # fmt: skip
        spread = (
            2.0 * np.sqrt(df) / (df - 1.0) * special.beta(0.5, df - 0.5) / special.beta(0.5, 0.5 * df) ** 2
        )
        return self.scale * (
            z * (2.0 * special.stdtr(df, z) - 1.0) + 2.0 * density * (df + z * z) / (df - 1.0) - spread
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stance:
    """The ends between which a position is left alone, as a head that learns positions states them.

    In volatility units: an exposure is a position over `volatility`, the causal one per bar. NaN where unknown.
    """

    low: Float64[np.ndarray, "time asset"]
    high: Float64[np.ndarray, "time asset"]
    volatility: Float64[np.ndarray, "time asset"]

    def __getitem__(self, rows: slice) -> "Stance":
        """The same between two rows."""
        return Stance(low=self.low[rows], high=self.high[rows], volatility=self.volatility[rows])

    def join(self, *later: "Stance") -> "Stance":
        """One stance of these rows and those that follow them."""
        parts = (self, *later)
        return Stance(
            low=np.concatenate([part.low for part in parts]),
            high=np.concatenate([part.high for part in parts]),
            volatility=np.concatenate([part.volatility for part in parts]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A belief about `log(close[t + h] / close[t])`, formed at `closed_at[t]`, for every coin and horizon h.

    `stance` is there where the model also states what to hold.
    """

    model: str
    closed_at: Int64[np.ndarray, " time"]
    symbols: tuple[str, ...]
    horizons: tuple[int, ...]
    law: Law
    stance: Stance | None = None

    def __len__(self) -> int:
        return len(self.closed_at)

    def __getitem__(self, rows: slice) -> "Forecast":
        """The same forecast between two rows."""
        stance = None if self.stance is None else self.stance[rows]
        return replace(self, closed_at=self.closed_at[rows], law=self.law[rows], stance=stance)

    @property
    def dense(self) -> bool:
        """True where a distribution is stated somewhere, not a location alone."""
        return bool(np.isfinite(self.law.variance()).any())

    def join(self, *later: "Forecast") -> "Forecast":
        """One forecast of these rows and those of the same model that follow them."""
        return replace(
            self,
            closed_at=np.concatenate([self.closed_at, *[part.closed_at for part in later]]),
            law=self.law.join(*[part.law for part in later]),
            stance=None if self.stance is None else self.stance.join(*[p.stance for p in later if p.stance]),
        )

    def at(self, horizon_bars: int) -> int:
        """The position of a horizon on the last axis."""
        return self.horizons.index(horizon_bars)

    def to_polars(self) -> pl.DataFrame:
        """One row per close, coin and horizon: mean, volatility, P(up) and five quantiles."""
        times, assets, ahead = self.law.mean().shape
        columns = {
            "closed_at": np.repeat(self.closed_at, assets * ahead),
            "symbol": list(np.tile(np.repeat(np.asarray(self.symbols), ahead), times)),
            "horizon_bars": np.tile(np.asarray(self.horizons), times * assets),
            "mean": self.law.mean().ravel(),
            "volatility": np.sqrt(self.law.variance()).ravel(),
            "p_up": 1.0 - self.law.cdf(np.zeros_like(self.law.mean())).ravel(),
        }
        for level in (0.05, 0.25, 0.5, 0.75, 0.95):
            columns[f"q{level:.2f}"] = self.law.quantile(level).ravel()
        frame = pl.DataFrame(columns)
        return frame.with_columns(
            pl.from_epoch("closed_at", "ns").dt.cast_time_unit("ms").dt.replace_time_zone("UTC")
        )

    def _repr_html_(self) -> str:
        last = self[-1:].to_polars()
        body = "".join(
            f"<tr><td>{escape(row['symbol'])}</td><td>{row['horizon_bars']}</td><td>{row['p_up']:.1%}</td>"
            f"<td>{row['q0.05']:+.2%}</td><td>{row['q0.50']:+.2%}</td><td>{row['q0.95']:+.2%}</td></tr>"
            for row in last.iter_rows(named=True)
        )
        head = (
            "<tr><th>coin</th><th>bars ahead</th><th>P(up)</th><th>5 %</th><th>median</th><th>95 %</th></tr>"
        )
        return f"<table><caption>{escape(self.model)}</caption>{head}{body}</table>"
