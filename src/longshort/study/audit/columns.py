"""How other people name the columns of their forecasts; here they become roles. No value is judged.

Known are the files of statsforecast, neuralforecast, darts and Prophet, tables of notebooks (`Date, Close, Predicted
Value`), and our own `forecast.parquet`; whatever is called otherwise can be named.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import polars as pl

from longshort.base.errors import DataError

Stamped = Literal["target", "made"]
ROLES = ("time", "made", "symbol", "model", "horizon", "actual", "forecast")
MADE_TIMES = ("closed_at", "made_at", "formed_at", "origin", "forecast_origin")
OPEN_TIMES = ("opened_at", "open_time", "opentime")
TIMES = (
    "date", "ds", "timestamp", "datetime", "time", "ts", "target_at", "valid_time", "day",
    *MADE_TIMES, *OPEN_TIMES, "index", "", "unnamed:_0",
)  # fmt: skip
ALIASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "made": ("cutoff", "made_at", "origin", "forecast_origin", "forecast_date", "issued_at"),
        "symbol": ("symbol", "coin", "unique_id", "ticker", "asset", "pair", "instrument", "series", "item_id"),
        "model": ("model", "model_name", "method"),
        "horizon": ("horizon", "horizon_bars", "h", "step", "steps_ahead", "lead", "lead_time"),
        "actual": (
            "actual", "actuals", "actual_value", "actual_close", "actual_price", "y", "y_true", "ytrue", "truth",
            "true", "true_value", "real", "observed", "target", "close", "adj_close", "close_price", "price", "last",
            "value", "return", "returns", "log_return", "actual_return",
        ),
    }
)  # fmt: skip
STEMS = frozenset(
    {"forecast", "forecasts", "forecasted", "prediction", "predictions", "predicted", "predict", "pred", "preds",
     "yhat", "hat", "ypred", "fcst"}
)  # fmt: skip
NEVER = frozenset(
    {"lower", "upper", "lo", "hi", "low", "high", "label", "class", "direction", "std", "sigma", "error", "residual",
     "prob", "proba", "quantile", "interval", "volatility", "signal", "true"}
)  # fmt: skip
NOT_MODELS = frozenset(
    {"open", "high", "low", "volume", "trend", "additive_terms", "multiplicative_terms", "row"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Which column plays which role; empty where none does.

    `forecasts` has one entry per column of forecasts: its name, that of what came (or empty), and what it is called.
    """

    time: str
    made: str
    symbol: str
    model: str
    horizon: str
    forecasts: tuple[tuple[str, str, str], ...]
    stamped: Stamped


def name_columns(frame: pl.DataFrame, path: Path, given: Mapping[str, str], *, alone: bool = True) -> Named:
    """Find the roles of a file of forecasts; `given` names columns that are called otherwise. Raise `DataError`.

    Where prices lie in a file of their own (not `alone`), a single column of numbers is the forecast whatever it is
    called: darts keeps the name of the series.

    >>> frame = pl.DataFrame({"Date": ["2024-01-01"], "Close": [1.0], "Predicted Value": [1.1]})
    >>> named = name_columns(frame, Path("a.csv"), {})
    >>> named.time, named.forecasts, named.stamped
    ('Date', (('Predicted Value', 'Close', ''),), 'target')
    """
    refuse_unknown(frame, path, given)
    plain = _plain_names(frame.columns)
    roles = {role: given.get(role) or _first(plain, ALIASES[role]) for role in ALIASES}
    time = given.get("time") or _first(plain, TIMES)
    if roles["made"] == time:
        roles["made"] = ""
    taken = {time, *roles.values()} - {""}
    forecasts = _given_forecast(given, roles) or _forecasts(frame, plain, roles, taken)
    if not (forecasts or alone):
        numbers = [
            c for c in frame.columns if frame[c].dtype.is_numeric() and c not in (time, roles["horizon"])
        ]
        forecasts = [(numbers[0], "", "")] if len(numbers) == 1 else []
    if not forecasts:
        raise DataError(
            f"no column of forecasts: there are {', '.join(frame.columns)}.",
            where=path,
            remedy="Call it forecast, or say --column forecast=NAME.",
        )
    made = bool(time) and _plain(time) in MADE_TIMES
    return Named(
        time=time,
        made=roles["made"],
        symbol=roles["symbol"],
        model=roles["model"],
        horizon=roles["horizon"],
        forecasts=tuple(forecasts),
        stamped="made" if made else "target",
    )


def name_prices(frame: pl.DataFrame, path: Path) -> tuple[str, str, str]:
    """The columns of time, symbol (or empty) and price in a file of prices; raise `DataError`."""
    plain = _plain_names(frame.columns)
    time = _first(plain, TIMES)
    price = _first(plain, ("close", "adj_close", *ALIASES["actual"]))
    for found, what in ((time, "date or closed_at"), (price, "close")):
        if not found:
            raise DataError(
                f"a file of prices needs a time and a close: there are {', '.join(frame.columns)}.",
                where=path,
                remedy=f"Name the missing one {what}.",
            )
    return time, _first(plain, ALIASES["symbol"]), price


def is_stamped_at_open(column: str) -> bool:
    """Whether a column of times says that bars are stamped at their open."""
    return _plain(column) in OPEN_TIMES


def refuse_unknown(frame: pl.DataFrame, path: Path, given: Mapping[str, str]) -> None:
    """Raise `DataError` for a role that does not exist, or a column that the file lacks."""
    for role, column in given.items():
        if role not in ROLES:
            raise DataError(
                f"--column {role}={column}: no such role.", remedy=f"Roles are {', '.join(ROLES)}."
            )
        if column not in frame.columns:
            raise DataError(
                f"there is no column {column!r}.", where=path, remedy=f"There are {', '.join(frame.columns)}."
            )


def _given_forecast(given: Mapping[str, str], roles: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return [(given["forecast"], roles["actual"], "")] if "forecast" in given else []


def _forecasts(
    frame: pl.DataFrame, plain: Mapping[str, str], roles: Mapping[str, str], taken: set[str]
) -> list[tuple[str, str, str]]:
    """By what they are called; else, beside a time and a truth of a library's own, whatever numbers are left."""
    free = [name for name in frame.columns if name not in taken]
    called = [name for name in free if _is_forecast(_plain(name))]
    if "yhat" in plain and plain["yhat"] in called:
        called = [plain["yhat"]]  # Prophet's own; the rest of its columns are parts of it
    if called:
        pairs = [(name, _partner(name, plain) or roles["actual"]) for name in called]
        return [(name, actual, "" if len(pairs) == 1 else name) for name, actual in pairs]
    if roles["horizon"] and "mean" in plain:
        return [(plain["mean"], roles["actual"], "")]
    if {"ds", "unique_id"} & set(plain):
        models = [name for name in free if _is_model(frame, name)]
        return [(name, roles["actual"], name) for name in models]
    return []


def _is_forecast(plain: str) -> bool:
    words = set(re.split(r"[_\W]+", plain))
    return bool(words & STEMS) and not words & NEVER


def _is_model(frame: pl.DataFrame, name: str) -> bool:
    bounds = re.search(r"-(lo|hi)-|-median$|_(lo|hi)_", name)
    return frame[name].dtype.is_numeric() and not bounds and _plain(name) not in NOT_MODELS


def _partner(forecast: str, plain: Mapping[str, str]) -> str:
    """The column of what came that a forecast is named after: BTC_pred forecasts BTC.

    >>> _partner("BTC_pred", {"date": "Date", "btc": "BTC", "btc_pred": "BTC_pred"})
    'BTC'
    """
    words = [word for word in _plain(forecast).split("_") if word not in STEMS]
    stem = "_".join(words)
    named = [stem, f"{stem}_actual", f"actual_{stem}", f"{stem}_true", f"{stem}_close"] if stem else []
    return _first(plain, named)


def _first(plain: Mapping[str, str], names: Sequence[str]) -> str:
    return next((plain[name] for name in names if name in plain), "")


def _plain_names(columns: Sequence[str]) -> dict[str, str]:
    return {_plain(name): name for name in reversed(columns)}


def _plain(name: str) -> str:
    return re.sub(r"[\s.\-]+", "_", name.strip().lower())
