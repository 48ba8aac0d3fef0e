"""What only derivatives have: funding, what the next payment may be, the basis, and open interest.

All in volatilities per bar where it is a rate or a price. When the next settlement falls due is learnt from the record:
as long after the last one as that came after the one before it. Nothing is known across a hole of the record.
"""

from types import MappingProxyType

import numpy as np

from longshort.features.history import Grid
from longshort.features.kernels import Head, Rows, compiled
from longshort.features.look import SCALE_ROWS, Compute, Feature, Look

SCORE_ROWS = 168
MIN_RATE_STD = 1e-5  # a tenth of a basis point per settlement: a rate that stood still
MIN_TURNOVER = 1e-6  # of the open interest per bar


def _funding(look: Look) -> Grid:
    settled = look.history.last_known("funding", look.bars.funding_rate)
    return np.where(look.bars.funding_covered, settled, np.nan)


def _settled_row(look: Look) -> Grid:
    """The grid row of the last settlement, as far as the record is known to be whole."""
    row = np.repeat(look.bars.grid_row[:, None].astype(np.float64), look.bars.present.shape[1], axis=1)
    settled = look.history.last_known(
        "settled row", np.where(np.isfinite(look.bars.funding_rate), row, np.nan)
    )
    hole = look.history.last_known("uncovered row", np.where(look.bars.funding_covered, np.nan, row))
    return np.where(hole > settled, np.nan, settled)


def _cadence(look: Look) -> Grid:
    """Rows between the last two settlements without a hole between them."""
    apart = look["settled_row"] - look.lag("settled_row", 1)
    hole = ~look.bars.funding_covered
    return look.history.last_known("cadence", np.where((apart > 0.0) & ~hole, apart, np.nan))


def _elapsed(look: Look) -> Grid:
    row = look.bars.grid_row[:, None].astype(np.float64)
    return np.minimum((row - look["settled_row"]) / look["cadence"], 1.0)


def _rate_change(look: Look) -> Grid:
    """The last rate less the one before it: what changed at the last settlement."""
    change = look["funding"] - look.lag("funding", 1)
    return look.history.last_known(
        "funding change", np.where(np.isfinite(look.bars.funding_rate), change, np.nan)
    )


def _score(look: Look) -> Grid:
    deviation = look["funding"] - look.mean("funding", SCORE_ROWS)
    return deviation / np.maximum(look.std("funding", SCORE_ROWS), MIN_RATE_STD)


@compiled
def mean_since(values: Rows, anew: Rows, head: Head, out: Rows) -> None:
    """The mean of the finite values since the last row on which `anew` was 1, that row included."""
    for t in range(len(values)):
        for a in range(values.shape[1]):
            if anew[t, a] == 1.0:
                head[0, a] = head[1, a] = 0.0
            if np.isfinite(values[t, a]):
                head[0, a] += values[t, a]
                head[1, a] += 1.0
            out[t, a] = head[0, a] / head[1, a] if head[1, a] > 0.0 else np.nan


def _next_payment(look: Look) -> Grid:
    """The mean premium since the last settlement: venues pay it, within limits and after a fixed interest.

    Known only where the time of the last settlement is.
    """
    out = np.empty(look.bars.close.shape)
    (head,) = look.history.kept("mean premium", lambda: (np.zeros((2, look.history.assets)),))
    mean_since(look["log_premium"], np.isfinite(look.bars.funding_rate).astype(np.float64), head, out)
    return np.where(np.isfinite(look["settled_row"]), out, np.nan)


def _turnover(look: Look) -> Grid:
    """How often the open positions changed hands, were every trade to close one."""
    share = look.mean("volume", 24) / look.bars.gauge("open_interest")
    return np.log(share + MIN_TURNOVER)


def _in_volatilities(compute: Compute) -> Compute:
    return lambda look: compute(look) / look["volatility"]


def _funded(
    compute: Compute,
    warmup_rows: int,
    summary: str,
    *,
    inputs: str = "funding_rate close",
    default: bool = True,
) -> Feature:
    return Feature(
        compute=compute,
        family="funding",
        inputs=tuple(inputs.split()),
        warmup_rows=warmup_rows,
        context="recursive",
        default=default,
        needs=("funding",),
        optional=True,
        summary=summary,
    )


def _basis(other: str) -> dict[str, Feature]:
    """Against another price: now, what changed with the last bar, and against its own day of hours."""
    column, name = f"log_over_{other}", f"basis_{other}"
    says: dict[str, tuple[Compute, int, str]] = {
        name: (lambda look: look[column], SCALE_ROWS, "log of the close over the"),
        f"{name}_change": (
            lambda look: look[column] - look.lag(column, 1),
            SCALE_ROWS,
            "change with the last bar of the log of the close over the",
        ),
        f"{name}_24": (
            lambda look: look[column] - look.mean(column, 24),
            SCALE_ROWS,
            "less its mean of 24 bars, the log of the close over the",
        ),
    }
    return {
        name: Feature(
            compute=_in_volatilities(compute),
            family="basis",
            inputs=("close", f"{other}_close"),
            warmup_rows=warmup_rows,
            context="recursive",
            needs=(f"{other}_close",),
            optional=True,
            summary=f"{summary} {other} price, in volatilities",
        )
        for name, (compute, warmup_rows, summary) in says.items()
    }


def _premium(name: str, summary: str, needs: tuple[str, ...], warmup_rows: int) -> Feature:
    return Feature(
        compute=_in_volatilities(lambda look: look[name]),
        family="basis",
        inputs=("mark_close", "index_close", "close", *(f"{need}_rate" for need in needs)),
        warmup_rows=warmup_rows,
        context="recursive",
        needs=("mark_close", "index_close", *needs),
        optional=True,
        summary=f"{summary}, in volatilities",
    )


def _interest(compute: Compute, inputs: str, warmup_rows: int, summary: str) -> Feature:
    return Feature(
        compute=compute,
        family="open-interest",
        inputs=tuple(inputs.split()),
        warmup_rows=warmup_rows,
        needs=("open_interest",),
        optional=True,
        summary=summary,
    )


def _interest_change(rows: int) -> Feature:
    return _interest(
        lambda look: look["log_open_interest"] - look.lag("log_open_interest", rows),
        "open_interest",
        rows + 1,
        f"log of the open interest over that {rows} bars before",
    )


BASE: MappingProxyType[str, Compute] = MappingProxyType(
    {
        "funding": _funding,
        "settled_row": _settled_row,
        "cadence": _cadence,
        "rate_change": _rate_change,
        "paid": lambda look: np.where(
            np.isfinite(look["settled_row"]), np.nan_to_num(look.bars.funding_rate), np.nan
        ),
        "log_premium": lambda look: np.log(look.bars.gauge("mark_close") / look.bars.gauge("index_close")),
        "mean_premium": _next_payment,
        "log_open_interest": lambda look: np.log(look.bars.gauge("open_interest")),
        "log_over_index": lambda look: np.log(look["close"] / look.bars.gauge("index_close")),
        "log_over_spot": lambda look: np.log(look["close"] / look.bars.gauge("spot_close")),
    }
)

TABLE: MappingProxyType[str, Feature] = MappingProxyType(
    {
        "funding_last": Feature(
            compute=lambda look: look["funding"] / look["volatility"],
            family="funding",
            inputs=("funding_rate", "close"),
            context="recursive",
            needs=("funding",),
            summary="rate of the last settlement, in volatilities",
        ),
        "funding_72": Feature(
            compute=lambda look: look.mean("funding", 72) / look["volatility"],
            family="funding",
            inputs=("funding_rate", "close"),
            warmup_rows=72,
            context="recursive",
            needs=("funding",),
            summary="mean rate of 72 bars, in volatilities",
        ),
        "funding_elapsed": _funded(
            _elapsed,
            16,
            "share of the usual time between settlements that has passed since the last",
            inputs="funding_rate",
        ),
        "funding_change": _funded(
            _in_volatilities(lambda look: look["rate_change"]),
            SCALE_ROWS,
            "rate of the last settlement less the one before it, in volatilities",
        ),
        "funding_score_168": _funded(
            _score,
            SCORE_ROWS,
            "rate of the last settlement, in standard deviations from its mean of 168 bars",
            inputs="funding_rate",
        ),
        "funding_paid_24": _funded(
            _in_volatilities(lambda look: look.total("paid", 24)),
            27,
            "rates settled in 24 bars, in volatilities",
            default=False,
        ),
        **_basis("index"),
        **_basis("spot"),
        "premium": _premium("log_premium", "log of the mark price over the index price", (), SCALE_ROWS),
        "next_payment": _premium(
            "mean_premium",
            "mean premium since the last settlement, what is paid next",
            ("funding",),
            SCALE_ROWS,
        ),
        **{f"open_interest_{rows}": _interest_change(rows) for rows in (1, 24)},
        "turnover_24": _interest(
            _turnover, "volume open_interest", 24, "log of the mean volume of 24 bars over the open interest"
        ),
    }
)
