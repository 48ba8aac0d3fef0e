"""What the policy wishes to hold: signed notional as a fraction of equity, per coin and close."""

from dataclasses import dataclass
from html import escape

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """A wish formed at each close, to be filled at the next bar's open.

    `target` is signed notional over equity (0.5: half of the equity long). NaN means *leave the position alone*:
    no order, whatever the price did meanwhile.
    """

    closed_at: Int64[np.ndarray, " time"]
    symbols: tuple[str, ...]
    target: Float64[np.ndarray, "time asset"]

    def __len__(self) -> int:
        return len(self.closed_at)

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
