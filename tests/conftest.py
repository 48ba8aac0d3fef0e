"""What every test may use: hypothesis profiles, the real bars beside the repository, a small known market."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jaxtyping
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from longshort.__main__ import main
from longshort.data.simulator import Simulation, simulate_market

settings.register_profile(
    "fast", max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "fast")


# Whole runs go without checks of types, as a user's do: the checks take ten times what one step takes, and the tests
# of the parts make them. `make test` runs the two one after the other, since even checks that are off take their time.
WHOLE_RUNS = frozenset(
    {
        *("test_api", "test_audit_command", "test_audit_pipeline", "test_backtest", "test_cli", "test_docs"),
        *("test_drift", "test_evidence", "test_explain", "test_export", "test_flags", "test_pilot"),
        *(
            "test_following",
            "test_gap_report",
            "test_minutes",
            "test_paper",
            "test_paper_account",
            "test_positions",
        ),
        *(
            "test_refine",
            "test_report_page",
            "test_robustness",
            "test_schemes",
            "test_signals",
            "test_tuning",
            "test_web",
        ),
    }
)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """With TESTS=whole only the whole runs are collected, with TESTS=parts all others."""
    asked, name = os.environ.get("TESTS", ""), collection_path.stem
    is_test = collection_path.is_file() and name.startswith("test_")
    return True if is_test and asked and (asked == "whole") != (name in WHOLE_RUNS) else None


class Said(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module", autouse=True)
def _types_unchecked_in_whole_runs(request: pytest.FixtureRequest) -> None:
    module = request.module.__name__.rpartition(".")[2]
    jaxtyping.config.update("jaxtyping_disable", module in WHOLE_RUNS)


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


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command in this process: the same way in, without the seconds that a new one takes to begin."""

    def attempt(*arguments: str, cwd: Path) -> Said:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", ["longshort", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return Said(int(stopped.value.code or 0), said.out, said.err)

    return attempt
