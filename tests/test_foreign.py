"""Other people's forecasts: what no honest file could hold is called so, what one could hold is not."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import pywt

from longshort.base.errors import DataError
from longshort.study.audit.columns import name_columns
from longshort.study.audit.foreign import Options, audit_forecasts, read_foreign
from longshort.study.audit.plausibility import correlation_p
from longshort.study.audit.record import Audit

ROWS = 1_500
START = datetime(2018, 1, 1, tzinfo=UTC)
Series = np.ndarray


def days(rows: int = ROWS) -> list[str]:
    return [(START + timedelta(days=t)).strftime("%Y-%m-%d") for t in range(rows)]


def walk(seed: int, rows: int = ROWS) -> Series:
    """A random walk whose volatility clusters, as prices do."""
    rng = np.random.default_rng(seed)
    log_volatility = np.zeros(rows)
    for t in range(1, rows):
        log_volatility[t] = 0.97 * log_volatility[t - 1] + 0.12 * rng.normal()
    return 100.0 * np.exp(np.cumsum(0.02 * np.exp(log_volatility) * rng.standard_t(5, rows) / 1.3))


def autoregressive(seed: int, phi: float, rows: int = 6_000) -> Series:
    rng = np.random.default_rng(seed)
    returns = 0.01 * rng.normal(size=rows)
    for t in range(1, rows):
        returns[t] += phi * returns[t - 1]
    return returns


def last_of(price: Series) -> Series:
    return np.append(np.nan, price[:-1])


def smoothed(price: Series, weight: float = 0.3) -> Series:
    """What an LSTM on price levels learns: an average of the last prices, known at the close before."""
    average = price.copy()
    for t in range(1, len(price)):
        average[t] = weight * price[t] + (1.0 - weight) * average[t - 1]
    return last_of(average)


def denoised(price: Series) -> Series:
    """The wavelet filter of published studies, over all that it is given."""
    parts = pywt.wavedec(price.copy(), "db4", mode="periodization", level=1)
    noise = np.median(np.abs(parts[-1])) / 0.6745
    parts[1:] = [
        pywt.threshold(part, noise * np.sqrt(2.0 * np.log(len(price))), "soft") for part in parts[1:]
    ]
    return pywt.waverec(parts, "db4", mode="periodization")[: len(price)]


@pytest.fixture
def audited(tmp_path: Path) -> Callable[..., Audit]:
    def audit(columns: dict[str, Any], **options: Any) -> Audit:
        return audit_forecasts(written(tmp_path, columns), None, Options(**options), time.perf_counter)[0]

    return audit


def written(folder: Path, columns: dict[str, Any], name: str = "forecasts.csv") -> Path:
    path = folder / name
    pl.DataFrame(columns).write_csv(path)
    return path


def said(audit: Audit) -> str:
    return "\n".join(f"{f.outcome}: {f.detail}" for f in audit.findings)


def alarms(audit: Audit) -> str:
    return "\n".join(f.detail for f in audit.alarms)


def table(price: Series, forecast: Series) -> dict[str, Any]:
    return {"Date": days(len(price)), "Close": price, "Predicted Value": forecast}


def test_a_forecast_from_prices_that_were_smoothed_over_the_whole_series_is_implausible(
    audited: Callable[..., Audit], real_data: Path
) -> None:
    stocks = pl.read_parquet(real_data / "stocks" / "sp500_20_stocks_adjclose_1990_2022.parquet")
    price = stocks.filter(pl.col("symbol") == "JPM")["close"].to_numpy()[-2_000:]

    offline = audited(table(price, last_of(denoised(price))))
    stepwise = [denoised(price[max(0, t - 255) : t + 1])[-1] for t in range(64, 2_000)]
    causal = audited(table(price[64:], last_of(np.array(stepwise))))

    assert offline.exit_code == 2
    assert "direction right in 7" in alarms(offline)
    assert causal.exit_code == 0, said(causal)


def test_a_forecast_that_follows_the_coming_price_is_implausible_as_the_published_ones_are(
    audited: Callable[..., Audit],
) -> None:
    price = walk(1, rows=376)
    noise = np.random.default_rng(1).normal(0, 0.015, 376)
    seen = last_of(price) * (price / last_of(price)) ** 0.5 * np.exp(noise * 0.7)

    found = audited(table(price, seen))

    assert found.exit_code == 2
    assert "known only with the close that it claims to forecast" in alarms(found)
    assert "direction right in" in alarms(found)


def test_what_came_handed_in_as_the_forecast_is_a_leak(audited: Callable[..., Audit]) -> None:
    price = walk(2)

    found = audited(table(price, price))

    assert found.outcome == "leak"
    assert "100.0% of the forecasts are what came, to the last digit" in alarms(found)


def test_rows_stamped_with_when_they_were_made_are_a_leak_until_a_person_says_what_the_stamp_means(
    audited: Callable[..., Audit],
) -> None:
    price = walk(3)
    made = price * (1.0 + 1e-4 * np.random.default_rng(3).normal(size=ROWS))

    as_target, as_made = audited(table(price, made)), audited(table(price, made), stamped="made")

    assert as_target.exit_code == 2
    assert "--stamped made" in alarms(as_target)
    assert as_made.exit_code == 0, said(as_made)


def test_returns_forecast_with_the_very_return_are_implausible_even_with_the_wrong_sign(
    audited: Callable[..., Audit],
) -> None:
    returns = np.diff(np.log(walk(4)))

    found = audited({"ds": days(len(returns)), "y": returns, "yhat": -0.05 * returns})

    assert found.exit_code == 2
    assert "rank correlation 1.00 with the return it forecasts" in alarms(found)


def test_a_forecast_of_the_row_after_is_seen_to_follow_the_return_after(
    audited: Callable[..., Audit],
) -> None:
    returns = np.diff(np.log(walk(5)))
    two_ahead = 0.1 * np.append(returns[1:], 0.0) + 1e-4

    found = audited({"ds": days(len(returns)), "y": returns, "yhat": two_ahead})

    assert "with the return after the one it forecasts" in alarms(found)


def test_a_smoothed_level_forecast_is_a_warning_that_shows_its_r2_beside_the_last_values(
    audited: Callable[..., Audit],
) -> None:
    price = walk(6)

    found = audited(table(price, smoothed(price)))

    persistence = next(f for f in found.findings if f.check == "persistence")
    assert found.exit_code == 0
    assert persistence.outcome == "warning"
    assert "it follows the price 1 rows late" in persistence.detail
    assert "R² of levels 0.9" in persistence.detail
    assert ", of the last value 0.9" in persistence.detail
    assert "above that of repeating the last value" in persistence.detail


def test_the_last_value_is_a_warning_and_no_alarm(audited: Callable[..., Audit]) -> None:
    price = walk(7)

    found = audited(table(price, last_of(price)))

    assert (found.exit_code, found.outcome) == (0, "warning")


def test_an_honest_autoregression_is_clean(audited: Callable[..., Audit]) -> None:
    returns = autoregressive(8, phi=0.07)
    forecast = 0.07 * np.append(0.0, returns[:-1])

    found = audited({"ds": days(len(returns)), "y": returns, "yhat": forecast})

    assert found.exit_code == 0, said(found)
    assert "R² of returns, against no change, +0." in said(found)


def test_more_of_returns_than_was_ever_published_is_implausible(audited: Callable[..., Audit]) -> None:
    returns = autoregressive(9, phi=0.35)
    forecast = 0.35 * np.append(0.0, returns[:-1])

    found = audited({"ds": days(len(returns)), "y": returns, "yhat": forecast})

    assert "R² of returns, against no change, +1" in alarms(found)


@pytest.mark.parametrize("seed", range(25))
def test_no_honest_forecast_of_a_random_walk_raises_an_alarm(
    audited: Callable[..., Audit], seed: int
) -> None:
    price = walk(100 + seed, rows=600)
    rng = np.random.default_rng(seed)
    near_zero = last_of(price) * np.exp(rng.normal(0, 1e-3, 600))
    momentum = last_of(price) * (last_of(price) / last_of(last_of(price))) ** 0.2
    always_up = last_of(price) * 1.0005

    for forecast in (near_zero, momentum, always_up, smoothed(price)):
        found = audited(table(price, forecast))
        assert found.exit_code == 0, said(found)


def test_many_series_that_are_each_too_short_to_tell_are_told_together(audited: Callable[..., Audit]) -> None:
    coins, rows = 40, 120
    rng = np.random.default_rng(10)
    returns = 0.02 * rng.normal(size=(rows, coins))
    knows = np.where(rng.random((rows, coins)) < 0.63, 1.0, -1.0) * np.sign(returns) * 1e-4

    found = audited(
        {
            "unique_id": np.tile([f"C{k}" for k in range(coins)], rows),
            "ds": np.repeat(days(rows), coins),
            "y": returns.ravel(),
            "LSTM": knows.ravel(),
        }
    )

    assert [f.stage for f in found.alarms] == ["all 40 series"]
    assert "at 120 instants" in alarms(found)


def test_overlapping_horizons_are_judged_on_spans_that_do_not_overlap(audited: Callable[..., Audit]) -> None:
    price = walk(11, rows=2_400)
    trend = np.append(np.full(24, np.nan), price[24:] / price[:-24])
    forecast = price * np.where(np.isnan(trend), 1.0, trend) ** 0.1

    found = audited(
        {"closed_at": days(2_400), "horizon": np.full(2_400, 24), "close": price, "forecast": forecast}
    )

    direction = next(f for f in found.findings if "direction right" in f.detail)
    assert "of 98, the commoner" in direction.detail
    assert found.exit_code == 0, said(found)


PRICE = walk(20, rows=200)
STYLES = {
    "notebook": {"Date": days(200), "Close": PRICE, "Predicted Value": PRICE * 1.001, "True Label": [1] * 200},
    "adjusted": {"timestamp": days(200), "Adj Close": PRICE, "y_pred": PRICE * 1.001},
    "prophet": {
        "ds": days(200), "y": PRICE, "yhat": PRICE * 1.001, "yhat_lower": PRICE * 0.9, "yhat_upper": PRICE,
        "trend": PRICE,
    },
    "statsforecast": {
        "unique_id": ["A"] * 200, "ds": days(200), "y": PRICE, "AutoARIMA": PRICE * 1.001,
        "AutoARIMA-lo-90": PRICE * 0.9,
    },
    "neuralforecast": {
        "unique_id": ["A"] * 200, "ds": days(200), "cutoff": ["2017-12-31", *days(199)], "LSTM-median": PRICE * 0.9,
        "LSTM": PRICE * 1.001, "y": PRICE,
    },
    "darts": {"time": days(200), "actual": PRICE, "forecast": PRICE * 1.001},
    "wide": {"date": days(200), "BTC": PRICE, "BTC_pred": PRICE * 1.001, "ETH": PRICE * 2, "ETH_pred": PRICE * 2.002},
    "without time": {"y_true": PRICE, "y_pred": PRICE * 1.001},
}  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_the_columns_of_common_tools_are_known(tmp_path: Path, style: str) -> None:
    foreign = read_foreign(written(tmp_path, STYLES[style]), None, Options())

    for case in foreign.cases:
        np.testing.assert_allclose(case.forecast, case.actual * 1.001)
        assert len(case.came) == 199
    assert len(foreign.cases) == 2 if style == "wide" else 1
    assert "They are levels" in foreign.notes[1]


def test_a_column_by_another_name_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, {"when": days(200), "px": PRICE, "model_says": PRICE * 1.001})
    named = {"time": "when", "actual": "px", "forecast": "model_says"}

    with pytest.raises(DataError, match="no column of forecasts: there are row, when, px, model_says"):
        read_foreign(path, None, Options())

    assert read_foreign(path, None, Options(columns=named)).cases[0].horizon == 1


def test_our_own_forecasts_are_read_with_prices_beside_them(tmp_path: Path) -> None:
    at = [START + timedelta(hours=t) for t in range(200)]
    ours = pl.DataFrame({
        "closed_at": at * 2, "symbol": ["BTCUSDT"] * 400, "horizon_bars": [1] * 200 + [4] * 200,
        "mean": [1e-4] * 400, "volatility": [0.01] * 400, "p_up": [0.5] * 400,
    })  # fmt: skip
    ours.write_parquet(tmp_path / "forecast.parquet")
    prices = written(tmp_path, {"closed_at": [str(a) for a in at], "close": PRICE}, "prices.csv")

    foreign = read_foreign(tmp_path / "forecast.parquet", prices, Options())

    assert [(c.name, len(c.came)) for c in foreign.cases] == [
        ("BTCUSDT 1 ahead", 199),
        ("BTCUSDT 4 ahead", 196),
    ]
    np.testing.assert_allclose(foreign.cases[1].came, np.log(PRICE[4:] / PRICE[:-4]))


def test_bars_stamped_at_their_open_are_moved_to_their_close(tmp_path: Path) -> None:
    at = [str(START + timedelta(hours=t)) for t in range(201)]
    ours = written(tmp_path, {"closed_at": at[1:], "forecast": PRICE})
    prices = written(tmp_path, {"open_time": at[:-1], "close": PRICE}, "prices.csv")

    case = read_foreign(ours, prices, Options()).cases[0]

    np.testing.assert_allclose(case.forecast, case.last)


def test_rows_in_any_order_and_rows_that_lack_a_value_are_sorted_and_counted(tmp_path: Path) -> None:
    forecast = [None if t in (50, 51, 120) else float(PRICE[t]) for t in range(200)]
    columns = {"ds": days(200)[::-1], "y": PRICE[::-1], "yhat": forecast[::-1]}

    foreign = read_foreign(written(tmp_path, columns), None, Options())

    assert (np.diff(foreign.cases[0].target_at) > 0).all()
    assert len(foreign.cases[0].came) == 196
    assert "yhat: 4 rows lack a forecast, what came, or the value before, and are left out." in foreign.notes


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"ds": days(200), "y": PRICE}, "no column of forecasts"),
        ({"ds": days(200), "yhat": PRICE}, "nothing says what came. Add its column"),
        ({"ds": days(20), "y": PRICE[:20], "yhat": PRICE[:20]}, "too few forecasts beside what came: yhat 19; 50 are"),
        ({"ds": days(199) + days(1), "y": PRICE, "yhat": PRICE}, "2018-01-01 00:00Z stands twice, with 1 more"),
        ({"ds": days(200), "y": PRICE, "yhat": ["up"] * 200}, "column yhat holds String, not numbers"),
        ({"ds": ["soon"] * 200, "y": PRICE, "yhat": PRICE}, "row 1: 'soon' is not a time"),
        ({"ds": days(200), "y": PRICE, "yhat": np.linspace(-3, 3, 200)}, "the forecasts are no prices"),
        ({"ds": days(200), "y": PRICE, "yhat": PRICE, "horizon": [0] * 200}, "a horizon of '0' rows makes no sense"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_judged_is_refused_in_one_sentence(
    tmp_path: Path, columns: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence) as refused:
        read_foreign(written(tmp_path, columns), None, Options())

    assert str(refused.value).startswith(str(tmp_path))


def test_forecasts_without_prices_at_their_instants_are_refused(tmp_path: Path) -> None:
    ours = written(tmp_path, {"ds": days(300)[100:], "yhat": PRICE})
    prices = written(tmp_path, {"date": days(200), "close": PRICE}, "prices.csv")

    with pytest.raises(
        DataError, match="100 of 200 forecasts of yhat have no price at their instant, the first"
    ):
        read_foreign(ours, prices, Options())


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(DataError, match=r"--column price=ds: no such role\. Roles are time"):
        name_columns(pl.DataFrame({"ds": [1]}), Path("a.csv"), {"price": "ds"})


def test_a_correlation_beyond_the_band_is_weighed_by_its_rows() -> None:
    assert correlation_p(0.3, 100, 0.125) > 0.01
    assert correlation_p(0.3, 2_000, 0.125) < 1e-10
