"""What a model's intervals are found to be, close by close, is what the calibrators find in one piece."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from longshort.base.journal import LimitCleared, LimitReached
from longshort.base.trading import LimitSettings
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.features.targets import make_targets
from longshort.models.calibration.adaptation import PID
from longshort.models.calibration.conformal import Band, calibrate
from longshort.models.calibration.coverage_monitor import Coverage, CoverageMonitor, Watch
from longshort.models.forecast import Forecast, StudentT
from longshort.policy.exposure import Wishes
from longshort.policy.limits.breaches import Health
from longshort.policy.limits.intervals import Interval, IntervalWatch
from longshort.policy.limits.limiter import Limits
from longshort.policy.limits.state import AccountState, LimitState

HORIZONS = (1, 4)
ROWS = 160


@pytest.fixture(scope="module")
def bars() -> Bars:
    """Two coins with a few bars missing."""
    market = simulate_market(coins=2, bars=ROWS, seed=3).bars
    close = market.close.copy()
    close[[30, 31, 90], [0, 0, 1]] = np.nan
    return replace(market, close=close)


def forecasts(bars: Bars, scale: float) -> Forecast:
    """Centered laws of one scale for all; the second coin's is unknown for a while."""
    ones = np.ones((len(bars), len(bars.symbols), len(HORIZONS)))
    scales = scale * ones * np.sqrt(HORIZONS)
    scales[50:60, 1] = np.nan
    law = StudentT(loc=0.0 * ones, scale=scales, df=5.0 * ones)
    return Forecast(model="m", closed_at=bars.closed_at, symbols=bars.symbols, horizons=HORIZONS, law=law)


def watched(bars: Bars, forecast: Forecast, watch: IntervalWatch, rows: range) -> list[tuple[Interval, ...]]:
    found: list[tuple[Interval, ...]] = []
    for t in rows:
        watch.on_close(bars[t : t + 1], forecast[t : t + 1])
        found.append(watch.intervals)
    return found


def told(found: Sequence[tuple[Interval, ...]]) -> list[str]:
    return [repr(row) for row in found]


def usual_scale(bars: Bars) -> float:
    returns = make_targets(bars, (1,)).log_return
    return float(np.nanstd(returns))


@pytest.mark.parametrize("lie", [0.1, 1.0, 10.0])
def test_each_close_finds_what_the_calibrators_find_in_one_piece(bars: Bars, lie: float) -> None:
    forecast = forecasts(bars, lie * usual_scale(bars))
    came = make_targets(bars, HORIZONS).log_return
    band = Band.of(forecast.law)

    found = watched(bars, forecast, IntervalWatch(), range(ROWS))

    batch = calibrate(PID(), band, came, horizons=HORIZONS).multiple[0]
    np.testing.assert_array_equal([[one.multiple for one in row] for row in found], batch)
    known = ~np.isnan(came) & ~np.isnan(band.low[0])
    inside = np.where(known, (came >= band.low[0]) & (came <= band.high[0]), np.nan)
    for k, horizon in enumerate(HORIZONS):
        monitor = CoverageMonitor(Watch(horizon_bars=horizon))
        for t in range(ROWS):
            monitor.update(inside[t - horizon, :, k] if t >= horizon else np.full(2, np.nan))
            seen = monitor.seen()
            assert found[t][k].coverage is seen.word
            np.testing.assert_equal((found[t][k].covered, found[t][k].bars), (seen.coverage, seen.bars))


@pytest.mark.parametrize("cut", [0, 1, 3, 35, 55])
def test_a_watch_that_is_restored_goes_on_with_the_same_bits(bars: Bars, cut: int) -> None:
    forecast = forecasts(bars, 0.3 * usual_scale(bars))
    whole, first, second = IntervalWatch(), IntervalWatch(), IntervalWatch()
    expected = watched(bars, forecast, whole, range(70))

    before = watched(bars, forecast, first, range(cut))
    second.restore(first.state())
    after = watched(bars, forecast, second, range(cut, 70))

    assert told([*before, *after]) == told(expected)


@pytest.mark.parametrize(
    ("lie", "word", "is_stretched"), [(0.1, Coverage.BROKEN, True), (1.0, Coverage.AS_IT_SHOULD_BE, False)]
)
def test_a_scale_that_lies_is_found_and_an_honest_one_is_not(
    bars: Bars, lie: float, word: Coverage, is_stretched: bool
) -> None:
    watch = IntervalWatch()

    watched(bars, forecasts(bars, lie * 0.8 * usual_scale(bars)), watch, range(80))

    health = watch.judged(Health.good(2))
    assert health.coverage is word
    assert (health.band_multiple > 2.0) is is_stretched


def test_the_horizon_that_is_worst_off_counts(bars: Bars) -> None:
    honest, lying = forecasts(bars, usual_scale(bars)), forecasts(bars, 0.1 * usual_scale(bars))
    scale = np.concatenate([honest.law.scale[..., :1], lying.law.scale[..., 1:]], axis=-1)
    watch = IntervalWatch()

    found = watched(bars, replace(honest, law=replace(honest.law, scale=scale)), watch, range(ROWS))

    assert [one.coverage for one in found[-1]] == [Coverage.AS_IT_SHOULD_BE, Coverage.BROKEN]
    assert watch.judged(Health.good(2)).coverage is Coverage.BROKEN
    assert watch.judged(Health.good(2)).band_multiple == found[-1][1].multiple


def test_nothing_is_known_while_no_model_states_an_interval(bars: Bars) -> None:
    forecast, watch = forecasts(bars, usual_scale(bars)), IntervalWatch()

    unknown = []
    for t in range(8):
        watch.on_close(bars[t : t + 1], (None, None, *[forecast[k : k + 1] for k in (2, 3, 3, 3, 6, 7)])[t])
        unknown.append(watch.judged(Health.good(2)).coverage is None)

    assert unknown == [True, True, False, False, True, True, False, False]


def test_a_limit_on_intervals_is_over_when_they_hold_again(bars: Bars) -> None:
    settings = LimitSettings(max_band_multiple=1.5)
    limits, watch = Limits(settings, LimitState.fresh(bars.symbols)), IntervalWatch()
    usual = usual_scale(bars)
    lying, honest = forecasts(bars, 0.2 * usual), forecasts(bars, 2.0 * usual)

    events = []
    for t in range(ROWS):
        row = slice(t, t + 1)
        watch.on_close(bars[row], (lying if t < 20 else honest)[row])
        account = AccountState(closed_at=int(bars.closed_at[t]), equity=1_000.0, held=np.zeros(2))
        events += limits.gate(account, Wishes.of(np.zeros(2)), watch.judged(Health.good(2))).events

    assert [(type(event), event.cause) for event in events][:2] == [
        (LimitReached, "outside-band"),
        (LimitCleared, "outside-band"),
    ]
