"""Filters take noise out by the past alone, and a filter that reads the future is refused by name."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshort.base.errors import StudyError
from longshort.data.bars import Bars
from longshort.data.simulator import simulate_market
from longshort.features.denoise import FILTERS, denoiser, denoiser_digest, ewma, hampel, kalman, ssa, wavelet
from longshort.features.history import History
from longshort.features.panel import FeatureStream

from .markets import PRICES, poisoned, punched

ROWS = 1_300
BARS = simulate_market(3, ROWS, seed=5).bars
HOLEY = punched(BARS, np.random.default_rng(3), share=0.05)
every_filter = pytest.mark.parametrize("spec", FILTERS)

SMOOTH = """
import numpy as np
from scipy import signal

def trailing(close):
    return np.array([close[max(0, t - 4): t + 1].mean() for t in range(len(close))])

def recursive(close):
    gain = 0.2
    return signal.lfilter([gain], [1, gain - 1], close, zi=close[:1] * (1 - gain))[0]

def same(close):
    return np.convolve(np.pad(close, 2, mode="edge"), np.ones(5) / 5, mode="same")[2:-2]

def there_and_back(close):
    return signal.filtfilt([0.2], [1, -0.8], close)

def centred(close):
    return np.array([close[max(0, t - 2): t + 3].mean() for t in range(len(close))])

def fourier(close):
    spectrum = np.fft.rfft(close)
    spectrum[len(spectrum) // 8 + 1:] = 0
    return np.fft.irfft(spectrum, len(close))

def detrended(close):
    return close - np.linspace(close[0], close[-1], len(close)) + close[0]

def interpolated(close):
    rows = np.arange(len(close))
    known = rows % 4 == 0
    return np.interp(rows, rows[known], close[known], right=close[-1])

def back_filled(close):
    filled = close.copy()
    filled[:-1] = np.where(np.diff(close) == 0, close[1:], close[1:] * 0 + close[:-1])
    return np.where(np.arange(len(close)) % 7 == 3, np.append(filled[1:], filled[-1:]), filled)

def full_scale(close):
    return (close - close.mean()) / close.std() + 10

def noisy(close):
    return close * np.random.default_rng().normal(1, 0.01, len(close))

def short(close):
    return close[1:]

def broken(close):
    return close + undefined

def sometimes_missing(close):
    return np.where(np.arange(len(close)) < 40, np.nan, close)
"""
TWO_SIDED = (
    "same",
    "there_and_back",
    "centred",
    "fourier",
    "detrended",
    "interpolated",
    "back_filled",
    "full_scale",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my.py").write_text(SMOOTH)
    return tmp_path


def filtered(bars: Bars, spec: str) -> Bars:
    return denoiser(spec)(bars, History(len(bars.symbols), int(bars.grid_row[0])))


WHOLE = {spec: filtered(HOLEY, spec) for spec in FILTERS}


@every_filter
@settings(max_examples=8)
@given(cuts=st.lists(st.integers(1, ROWS - 1), max_size=3), ones=st.integers(0, 8))
def test_a_bar_at_a_time_gives_the_bits_of_a_whole_history(spec: str, cuts: list[int], ones: int) -> None:
    edges = sorted({0, *cuts, *range(ROWS - ones, ROWS), ROWS})
    denoise, history = denoiser(spec), History(3, int(HOLEY.grid_row[0]))

    pieces = [denoise(HOLEY[a:b], history) for a, b in pairwise(edges)]

    for name in PRICES:
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        np.testing.assert_array_equal(joined, getattr(WHOLE[spec], name))


@every_filter
@pytest.mark.parametrize("rows", [1, 2, 63, 300, 511, 512, 513, 1_100])
def test_the_past_stays_when_the_future_is_cut_off_or_noise(spec: str, rows: int) -> None:
    cut = filtered(HOLEY[:rows], spec)
    noise = filtered(poisoned(HOLEY, rows, np.random.default_rng(1)), spec)

    np.testing.assert_array_equal(cut.close, WHOLE[spec].close[:rows])
    np.testing.assert_array_equal(noise.close[:rows], WHOLE[spec].close[:rows])


@every_filter
def test_the_whole_candle_moves_and_nothing_else_does(spec: str) -> None:
    mine = WHOLE[spec]
    there = HOLEY.present

    np.testing.assert_array_equal(np.isfinite(mine.close), there)
    assert (mine.high[there] >= mine.low[there]).all()
    np.testing.assert_allclose((mine.high / mine.close)[there], (HOLEY.high / HOLEY.close)[there], rtol=1e-12)
    for name in ("volume", "present", "funding_rate", "funding_covered", "closed_at"):
        assert getattr(mine, name) is getattr(HOLEY, name)


@every_filter
def test_prices_in_another_unit_are_filtered_alike(spec: str) -> None:
    log_close = np.log(BARS.close[:, 0])

    np.testing.assert_allclose(FILTERS[spec](log_close + 3.0) - 3.0, FILTERS[spec](log_close), atol=1e-9)


@pytest.mark.parametrize("spec", ["kalman", "wavelet", "ssa", "ewma"])
def test_a_level_seen_through_noise_is_seen_better(spec: str, rng: np.random.Generator) -> None:
    level = 0.001 * rng.normal(size=1_000).cumsum()
    seen = level + 0.01 * rng.normal(size=1_000)

    error = FILTERS[spec](seen)[300:] - level[300:]

    assert error.std() < 0.006


@pytest.mark.parametrize("spec", ["kalman", "hampel"])
def test_a_random_walk_without_noise_passes_almost_unchanged(spec: str, rng: np.random.Generator) -> None:
    walk = 0.01 * rng.normal(size=1_000).cumsum()

    error = FILTERS[spec](walk) - walk

    assert np.abs(error).mean() < 0.001


def test_the_steady_gain_of_a_local_level_is_that_of_the_full_recursion(rng: np.random.Generator) -> None:
    level = 0.005 * rng.normal(size=4_000).cumsum()
    seen = level + 0.01 * rng.normal(size=4_000)
    ratio, state, variance, full = 0.25, seen[0], 1.0, []
    for value in seen:
        variance += ratio
        gain = variance / (variance + 1.0)
        state, variance = state + gain * (value - state), (1.0 - gain) * variance
        full.append(state)

    error = kalman(seen, rows=4_000)[2_000:] - np.array(full)[2_000:]

    assert error.std() < 0.1 * (seen - level).std()


def test_only_an_outlier_is_replaced_and_by_the_median_before_it() -> None:
    calm = np.tile([0.0, 0.1, 0.2], 20)
    struck = calm.copy()
    struck[40] = 7.0

    assert hampel(calm, span=9).tolist() == calm.tolist()
    assert hampel(struck, span=9)[40] == 0.1
    assert np.delete(hampel(struck, span=9), 40).tolist() == np.delete(struck, 40).tolist()


def test_a_price_that_stood_still_may_move() -> None:
    still = np.append(np.zeros(50), 0.01)

    assert hampel(still).tolist() == still.tolist()


def test_a_true_jump_is_believed_once_half_of_the_span_has_followed() -> None:
    jump = np.tile([0.0, 0.001, 0.002], 40)
    jump[60:] += 1.0

    assert np.flatnonzero(np.abs(hampel(jump, span=24) - jump) > 0.5).tolist() == list(range(60, 72))


@pytest.mark.parametrize("function", [kalman, wavelet, ssa, ewma, hampel])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_short_history_is_filtered_too(function: object, rows: int) -> None:
    assert np.isfinite(function(np.log(BARS.close[:rows, 0]))).all()  # type: ignore[operator]


@pytest.mark.parametrize("name", TWO_SIDED)
def test_a_two_sided_filter_is_refused_with_the_row_that_changed(folder: Path, name: str) -> None:
    with pytest.raises(StudyError, match=r"is two-sided: on .* its value at row \d+ changed") as caught:
        denoiser(f"file:my.py:{name}", folder=folder, bars=BARS)

    assert f"the filter {name} in {folder / 'my.py'}" in str(caught.value)
    assert "smooths the past with the future" in str(caught.value)
    assert "Use a one-sided filter" in caught.value.remedy


def test_a_filter_that_looks_ahead_on_rare_bars_is_refused_on_the_bars_that_have_them(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text(
        "import numpy as np\n"
        "def peek(close):\n"
        "    return np.where(close > 1e6, np.append(close[1:], close[-1:]), close)\n"
    )
    dear = punched(BARS, np.random.default_rng(0), share=0.0)
    dear.close[-50:] *= 1e6 / dear.close[-50:].min() * 1.1

    denoiser("file:my.py:peek", folder=tmp_path, bars=BARS)
    with pytest.raises(StudyError, match="two-sided: on SIM01USDT"):
        denoiser("file:my.py:peek", folder=tmp_path, bars=dear)


@pytest.mark.parametrize("name", ["trailing", "recursive"])
def test_a_one_sided_filter_of_the_users_is_taken_and_streams(folder: Path, name: str) -> None:
    denoise = denoiser(f"file:my.py:{name}", folder=folder, bars=HOLEY)
    whole = denoise(HOLEY, History(3, int(HOLEY.grid_row[0])))
    history = History(3, int(HOLEY.grid_row[0]))

    pieces = [
        denoise(HOLEY[:1_000], history),
        *[denoise(HOLEY[t : t + 1], history) for t in range(1_000, 1_012)],
    ]

    np.testing.assert_array_equal(np.concatenate([p.close for p in pieces]), whole.close[:1_012])
    assert (
        np.nanstd(np.diff(np.log(whole.close), axis=0)) < np.nanstd(np.diff(np.log(HOLEY.close), axis=0))
    ).all()


def test_what_a_filter_leaves_out_is_missing(folder: Path) -> None:
    bars = filtered_by(folder, "sometimes_missing", BARS[:60])

    assert np.isnan(bars.close[31:40]).all()
    assert np.isfinite(bars.close[40:]).all()


def test_the_first_closes_of_a_series_are_left_to_the_users_filter_as_they_are(folder: Path) -> None:
    bars = filtered_by(folder, "trailing", BARS[:40])

    np.testing.assert_array_equal(bars.close[:31], BARS.close[:31])
    assert (bars.close[31:] != BARS.close[31:40]).all()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("noisy", "answers differently when asked the same twice"),
        ("short", r"answers with an array of shape \(159,\) to 160 rows"),
        ("broken", r"broken: line \d+: NameError: name 'undefined' is not defined"),
        ("absent", "it has no function 'absent'"),
    ],
)
def test_a_filter_that_cannot_be_used_is_refused_in_one_sentence(folder: Path, name: str, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        denoiser(f"file:my.py:{name}", folder=folder)


@pytest.mark.parametrize("spec", ["median", "file:my.py", "file::smooth"])
def test_an_unknown_filter_answers_with_the_list(spec: str) -> None:
    with pytest.raises(StudyError, match="hampel, kalman, wavelet, ssa, ewma"):
        denoiser(spec)


def test_no_filter_gives_the_bars_themselves() -> None:
    assert denoiser("")(BARS, History(3)) is BARS


def test_another_file_is_another_digest(folder: Path) -> None:
    before = denoiser_digest("file:my.py:trailing", folder)
    (folder / "my.py").write_text(SMOOTH + "\n")

    assert denoiser_digest("file:my.py:trailing", folder) != before
    assert denoiser_digest("kalman") != denoiser_digest("ewma")


def test_features_read_filtered_prices_and_targets_the_raw_ones() -> None:
    names = ("return_1",)
    raw = FeatureStream(BARS.symbols, names).extend(BARS)

    smooth = FeatureStream(BARS.symbols, names, denoise=denoiser("ewma")).extend(BARS)

    np.testing.assert_array_equal(smooth.log_return, raw.log_return)
    np.testing.assert_array_equal(smooth.volatility, raw.volatility)
    assert np.nanmean(np.abs(smooth.values - raw.values)) > 0.1


def test_a_saved_and_restored_filter_goes_on_with_the_same_bits() -> None:
    denoise, history, restored = denoiser("ssa"), History(3, int(HOLEY.grid_row[0])), History(3)
    denoise(HOLEY[:900], history)

    restored.restore(history.state())

    np.testing.assert_array_equal(denoise(HOLEY[900:901], restored).close, WHOLE["ssa"].close[900:901])


def filtered_by(folder: Path, name: str, bars: Bars) -> Bars:
    return denoiser(f"file:my.py:{name}", folder=folder)(bars, History(3, int(bars.grid_row[0])))
