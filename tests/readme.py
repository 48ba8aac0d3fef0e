"""The README's console blocks, read as commands and what they print; `make docs` writes them anew.

Run as `python -m tests.readme [DATA]`. Of long output the first lines are kept, and `...` stands for the rest.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "fan.svg"
BLOCK = re.compile(r"```console\n(.*?)```", flags=re.DOTALL)
COINS = ("BTCUSDT", "ETHUSDT")
FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 12, 31, 23, 0, tzinfo=UTC)
LINES = {"evaluate": 16}  # the verdict; what stands below it is described
CUT = "..."


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a console block and the lines that it is said to print."""

    command: str
    output: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """The command as a shell would split it."""
        return shlex.split(self.command)


def steps(block: str) -> list[Step]:
    """The commands of one block in order.

    >>> steps("$ longshort init mine\\nWrote it.\\n$ longshort check\\n")
    [Step(command='longshort init mine', output=('Wrote it.',)), Step(command='longshort check', output=())]
    """
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [Step(lines[0], tuple(lines[1:])) for lines in (part.rstrip("\n").split("\n") for part in parts)]


def prepare(home: Path, data: Path) -> None:
    """Put the year's bars and funding where the README says that they are."""
    last_settlement = LAST + timedelta(minutes=61)  # that of the last bar's close is milliseconds after it
    for folder, kind, last in (("ohlcv_1h", "perp_1h", LAST), ("funding", "funding", last_settlement)):
        there = home / {"ohlcv_1h": "bars"}.get(folder, folder)
        there.mkdir(parents=True)
        for coin in COINS:
            rows = pl.read_parquet(data / folder / f"binance_{coin}_{kind}.parquet")
            rows.filter(pl.col("ts").is_between(FIRST, last)).write_parquet(there / f"binance_{coin}.parquet")


def arguments(step: Step, home: Path) -> list[str]:
    """What follows the program's name, files named by patterns expanded as a shell does."""
    name, *given = step.words
    assert name == "longshort"
    return [word for a in given for word in (sorted(map(str, _matching(home, a))) if "*" in a else [a])]


def run(step: Step, home: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one command in a folder, in a process of its own."""
    return subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-m", "longshort", *arguments(step, home)],
        cwd=home,
        env={**environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def main(data: Path) -> None:
    """Run every block of the README, write what was printed, and draw the demo's picture."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        prepare(home, data)
        text = BLOCK.sub(lambda block: _written(block[1], home), README.read_text())
        README.write_text(text)
        done = run(Step("longshort demo", ()), home, os.environ)
        assert done.returncode == 0, done.stderr
        shutil.copy(next(home.glob("demo/runs/forecast-*/fan-*.svg")), PICTURE)


def _written(block: str, home: Path) -> str:
    said: list[str] = []
    for step in steps(block):
        done = run(step, home, os.environ)
        assert done.returncode == 0, done.stderr
        lines = [line.rstrip() for line in done.stdout.replace(f"{home.resolve()}/", "").splitlines()]
        keep = LINES.get(step.words[1], len(lines))
        shown = "\n".join(lines[:keep]).rstrip("\n")
        said += [f"$ {step.command}", shown, *([CUT] if len(lines) > keep else [])]
    return "```console\n" + "\n".join(said) + "\n```"


def _matching(home: Path, pattern: str) -> list[Path]:
    return [path.relative_to(home) for path in home.glob(pattern)]


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT.parent / "shared" / "data"))
