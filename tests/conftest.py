"""What every test may use: hypothesis profiles, the real bars beside the repository, a small known market."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from longshort.data.simulator import Simulation, simulate_market

settings.register_profile(
    "fast", max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "fast")


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs real bars in ../shared/data, which do not ship with the repository")
    return folder


@pytest.fixture(scope="session")
def simulation() -> Simulation:
    return simulate_market(3, 4_000, seed=11)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_240_101)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("LONGSHORT_")]:
        monkeypatch.delenv(name)
