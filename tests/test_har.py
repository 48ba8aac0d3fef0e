"""HAR's scale stands where its rows end: at hours that none of them fell into, and never on too few of them."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from longshort.base.clock import DAY, HOUR, MINUTE, Interval
from longshort.base.errors import DataError
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.features.catalog import FEATURES
from longshort.features.panel import FeatureStream, Panel
from longshort.features.targets import make_targets
from longshort.models.forecaster import Past
from longshort.models.opponents import scale
from longshort.models.opponents.scale import EWMA, HAR, HAR_COLUMNS, HOURS, FittedScale, ScaleModel, ewma, har

HORIZONS = (4,)
AFTER = 400  # rows that nothing is learnt from


def minutes(rows: int, seed: int, start_at: int) -> Bars:
    """A market's hours told as minutes: its day is over before all hours of the day have been."""
    bars = simulate_market(coins=2, bars=rows, seed=seed).bars
    closed_at = start_at + MINUTE * np.arange(1, rows + 1, dtype=np.int64)
    return replace(bars, interval=Interval(MINUTE), closed_at=closed_at)


def panel_of(bars: Bars) -> Panel:
    return FeatureStream(bars.symbols, HAR_COLUMNS, catalog=FEATURES).extend(bars)


def past_of(bars: Bars, rows: int) -> Past:
    learnt = rows - max(HORIZONS)
    first = int(0.85 * learnt)
    return Past.cut(panel_of(bars), make_targets(bars, HORIZONS), range(first), range(first, learnt))


@cache
def fitted_long() -> FittedScale:
    return ScaleModel(HAR, HORIZONS, har).fit(long_past())


@cache
def long_past() -> Past:
    bars = simulate_market(coins=2, bars=2_500, seed=4).bars
    return past_of(bars, len(bars))


@pytest.mark.parametrize(("rows", "seed", "hour"), [(1_000, 1, 0), (1_100, 2, 7), (1_600, 3, 21)])
def test_the_scale_at_an_hour_that_no_row_fell_into_is_that_of_the_others(
    rows: int, seed: int, hour: int
) -> None:
    bars = minutes(rows + AFTER, seed, 20_000 * DAY + hour * HOUR)

    fitted = ScaleModel(HAR, HORIZONS, har).fit(past_of(bars, rows))

    scaled = np.abs(make_targets(bars, HORIZONS).log_return) / fitted.scale(panel_of(bars))
    typical = np.nanmedian(scaled[rows : rows + AFTER - 30], axis=(0, 1))
    assert (typical > 0.02).all(), typical
    assert (typical < 50.0).all(), typical


def test_where_every_hour_has_its_rows_the_coefficients_are_those_of_the_likelihood(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = fitted_long()
    found = list[np.ndarray]()

    def kept(terms: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
        beta, df = fit(terms, target)
        found.append(beta)
        return beta, df

    fit = scale.fit_scale
    monkeypatch.setattr(scale, "fit_scale", kept)
    ScaleModel(HAR, HORIZONS, har).fit(long_past())

    assert (told.beta[:, HOURS] != 0.0).all()
    np.testing.assert_array_equal(told.beta, np.array(found))


def test_bars_that_never_close_at_some_hours_are_told_as_the_likelihood_says() -> None:
    past = long_past()
    hours = past.panel.closed_at // HOUR % 24
    evens = Past(
        panel=past.panel,
        targets=replace(
            past.targets,
            log_return=np.where((hours % 2 == 0)[:, None, None], past.targets.log_return, np.nan),
        ),
        train=past.train,
        validation=past.validation,
        names=past.names,
    )

    fitted = ScaleModel(HAR, HORIZONS, har).fit(evens)

    said, whole = fitted.scale(past.panel), fitted_long().scale(past.panel)
    apart = np.abs(np.log(said / whole))[hours % 2 == 1]
    assert np.nanmax(apart) < 1.0


@pytest.mark.parametrize(
    ("model", "needed"), [(ScaleModel(HAR, HORIZONS, har), 90), (ScaleModel(EWMA, HORIZONS, ewma), 6)]
)
def test_too_few_rows_are_refused_with_what_would_be_enough(model: ScaleModel, needed: int) -> None:
    bars = minutes(760, 1, 20_000 * DAY)
    learnt = replace(past_of(bars, 760), train=range(730), validation=range(0))

    with pytest.raises(DataError) as caught:
        model.fit(replace(learnt, train=range(720, 722)))

    assert str(caught.value) == (
        f"the bars from 2024-10-04 00:01Z to 2024-10-04 12:40Z: {model.name} learns {needed // 3} numbers from "
        f"{needed} rows or more, and after its warm-up there are 4. Import or fetch more history, or train on "
        "longer stretches."
    )
