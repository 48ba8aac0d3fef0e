"""What was counted, as a page: each count with the interval in which the true rate lies."""

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from scipy import special

from longshort.base.clock import SystemClock, format_instant
from longshort.base.files import write_text
from longshort.base.jobs import usable_processors

PAGE = Path("docs/proofs.md")
PREFACE = """\
# Proofs

`make prove` counts here what a handful of examples cannot show. Seeds are fixed; results are kept per market in
`runs/proofs`, so that it goes on where it was stopped, and are thrown away when the program changes. Intervals are
95 % intervals of Clopper and Pearson (1934): the rates that are compatible with the count.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing that was counted: how often, out of how many, and whether that is what is claimed."""

    title: str
    counted: str
    hits: int
    of: int
    claim: str
    holds: bool

    @property
    def interval(self) -> tuple[float, float]:
        """The Clopper-Pearson interval of the rate."""
        return clopper_pearson(self.hits, self.of)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{'holds' if self.holds else 'FAILS'}: {self.title}: {self.hits:,} of {self.of:,} {self.counted} "
            f"({low:.2%} to {high:.2%}); claimed: {self.claim}"
        )


def clopper_pearson(hits: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of a rate.

    >>> [round(bound, 4) for bound in clopper_pearson(0, 60)], [round(b, 3) for b in clopper_pearson(5, 10)]
    ([0.0, 0.0596], [0.187, 0.813])
    """
    tail = (1.0 - level) / 2.0
    low = float(special.betaincinv(hits, of - hits + 1, tail)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, of - hits, 1.0 - tail)) if hits < of else 1.0
    return low, high


def write_page(claims: Sequence[Claim], seconds: float, notes: Sequence[str]) -> None:
    """Write docs/proofs.md."""
    rows = [
        f"| {c.title} | {c.hits:,} of {c.of:,} {c.counted} | {c.interval[0]:.2%} to {c.interval[1]:.2%} "
        f"| {c.claim} | {'yes' if c.holds else '**no**'} |"
        for c in claims
    ]
    lines = [
        PREFACE,
        f"Commit {commit()}, {format_instant(SystemClock().now())[:10]}; Python {platform.python_version()}, "
        f"torch {version('torch')}, numpy {version('numpy')}; {usable_processors()} processors; "
        f"{seconds / 60:,.0f} minutes of one processor in all.",
        "",
        "| what | counted | 95 % interval | claimed | holds |",
        "|---|---|---|---|---|",
        *rows,
        "",
        *[f"{note}\n" for note in notes],
    ]
    write_text(PAGE, "\n".join(lines).rstrip() + "\n")


def commit() -> str:
    """The commit that is proved, and whether the program differs from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "tests/prove")
    return (git("rev-parse", "--short=10", "HEAD") or "unknown") + (" with changes" if changed else "")
