"""What the policy wishes to hold, and where it would leave: per coin and close."""

from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

PerCoin = Float64[np.ndarray, " asset"]
PerRow = Float64[np.ndarray, "time asset"]


class Wishes(NamedTuple):
    """What is wished at one close, per coin.

    `target` is signed notional over equity; NaN leaves the position alone. `stop` says how far against the position,
    as a fraction of its average entry price, its stop lies from now on (NaN: none), `take` the same in its favor.
    """

    target: PerCoin
    stop: PerCoin
    take: PerCoin

    @classmethod
    def of(cls, target: PerCoin) -> "Wishes":
        """Targets without exits.

        >>> Wishes.of(np.array([0.5, np.nan])).stop.tolist()
        [nan, nan]
        """
        return cls(target, np.full(len(target), np.nan), np.full(len(target), np.nan))


def _unset() -> PerRow:
    return np.zeros((0, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """A wish formed at each close, to be filled at the next bar's open; see `Wishes` for its three parts.

    Leaving a position alone means no order, whatever the price did meanwhile. `stop` and `take` do not last: a close
    that names none takes them away. Left out, they are NaN throughout.
    """

    closed_at: Int64[np.ndarray, " time"]
    symbols: tuple[str, ...]
    target: PerRow
    stop: PerRow = field(default_factory=_unset)
    take: PerRow = field(default_factory=_unset)

    def __post_init__(self) -> None:
        for name in ("stop", "take"):
            if getattr(self, name).shape == (0, 0):
                object.__setattr__(self, name, np.full(self.target.shape, np.nan))

    def __len__(self) -> int:
        return len(self.closed_at)

    def __getitem__(self, rows: slice) -> "Exposure":
        """The wishes between two rows."""
        return Exposure(
            closed_at=self.closed_at[rows],
            symbols=self.symbols,
            target=self.target[rows],
            stop=self.stop[rows],
            take=self.take[rows],
        )

    def at(self, row: int) -> Wishes:
        """The wishes of one close."""
        return Wishes(self.target[row], self.stop[row], self.take[row])

    def to_polars(self) -> pl.DataFrame:
        """One row per close, one column per coin; null where the position is left alone."""
        frame = pl.DataFrame(
            {"closed_at": self.closed_at} | {s: self.target[:, a] for a, s in enumerate(self.symbols)}
        ).fill_nan(None)
        return frame.with_columns(
            pl.from_epoch("closed_at", "ns").dt.cast_time_unit("ms").dt.replace_time_zone("UTC")
        )

    def _repr_html_(self) -> str:
        wishes = np.isfinite(self.target).sum(axis=0)
        body = "".join(
            f"<tr><td>{escape(s)}</td><td>{n:,}</td></tr>" for s, n in zip(self.symbols, wishes, strict=True)
        )
        return f"<table><caption>{len(self):,} closes</caption><tr><th>coin</th><th>wishes</th></tr>{body}</table>"
