"""The folder of one run: what was asked, on which data, and everything that came out, for people and machines."""

import platform
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import polars as pl

from longshort.base.files import digest, write_atomically, write_json, write_text
from longshort.base.settings import Study, to_toml
from longshort.policy.ledger import Ledger
from longshort.policy.rules.own import own_sources
from longshort.study.market import Market, code_digest
from longshort.study.money import rule_for
from longshort.study.recipe import recipe_digest

LIBRARIES = ("longshort", "torch", "numpy", "polars", "scipy", "nautilus_trader")


def hashes_of(study: Study, data: str) -> dict[str, str]:
    """What a result depends on: settings, bars (by their hash), our code, and the user's own beside it."""
    rule = rule_for(study, bars_per_year=1.0)  # which is no part of its files
    return {
        "study": study.digest(),
        "data": data,
        "code": code_digest(),
        "recipe": recipe_digest(study),
        "policy": digest(policy_digest(), *own_sources(rule)),
    }


def tried_digest(study: Study) -> str:
    """What one try differs from another in: the settings, and the user's own files that they name."""
    rule = rule_for(study, bars_per_year=1.0)
    return digest(study.digest(), recipe_digest(study), *own_sources(rule))


@lru_cache(maxsize=1)
def policy_digest() -> str:
    """A hash of the code that turns forecasts into money."""
    room = Path(__file__).parent.parent / "policy"
    return digest(*(path.read_bytes() for path in sorted(room.rglob("*.py"))))


class Run:
    """One run's folder below the study's `runs/`, named by what is run and by a hash of study and data."""

    def __init__(self, market: Market, kind: str) -> None:
        self.market = market
        study = market.study
        self.hashes = hashes_of(study, market.bars.digest())
        self.folder = study.folder / "runs" / f"{kind}-{self.hashes['study'][:6]}-{self.hashes['data'][:6]}"

    def write_study(self) -> None:
        """The effective settings, and beside them hashes, versions and what the bars are made of."""
        study, bars = self.market.study, self.market.bars
        write_text(self.folder / "study.toml", to_toml(study))
        data = {
            "calendar": bars.calendar.name,
            "origins": [asdict(origin) for origin in bars.origins],
            "cleaning": study.data.cleaning,
            "changes": [asdict(change) for change in bars.changes],
        }
        record = {
            "hashes": self.hashes,
            "versions": versions(),
            "seeds": list(study.model.seeds),
            "data": data,
        }
        write_json(self.folder / "run.json", record)

    def write_table(self, name: str, table: pl.DataFrame) -> Path:
        """A table as Parquet."""
        path = self.folder / f"{name}.parquet"
        write_atomically(path, lambda temporary: table.write_parquet(temporary, compression="zstd"))
        return path

    def write_ledger(self, name: str, ledger: Ledger) -> None:
        """An account bar by bar, and its fills."""
        self.write_table(name, ledger.to_polars())
        self.write_table(f"{name}-fills", ledger.fills)

    def write_page(self, name: str, page: str) -> Path:
        """A page for people."""
        path = self.folder / name
        write_text(path, page)
        return path


def job_cache(study: Study) -> Path:
    """Where finished fits are kept, so that long work resumes."""
    return study.folder / "runs" / ".jobs"


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found
