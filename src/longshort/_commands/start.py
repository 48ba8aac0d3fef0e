"""`init`, `doctor` and `config show`: a study to begin with, what a machine lacks, and what is in effect."""

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from rich.text import Text

from longshort._commands.terminal import emit_json, say, say_table
from longshort.base.clock import HOUR, Interval, SystemClock, format_instant
from longshort.base.errors import DataError, StudyError
from longshort.base.files import write_text
from longshort.base.jobs import usable_processors
from longshort.base.settings import Study, to_toml
from longshort.data.lake import Lake, Series
from longshort.data.market import MILLISECOND, find_lake

TEMPLATE = Path(__file__).with_name("study.toml")
WANTED_DISK_GB = 2.0  # an installation, a lake and a run with its cached fits
WANTED_MEMORY_GB = 2.0
TESTED_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing the doctor looked at; `remedy` is empty where all is well."""

    what: str
    found: str
    remedy: str = ""
    is_needed: bool = True


def init(name: str) -> None:
    """Write a commented study that runs as it is: on the lake beside it, else on the embedded market."""
    path = Path(name) / "study.toml"
    if path.exists():
        raise StudyError("there is a study already.", where=path, remedy="Choose another name, or delete it.")
    text, about = _fill(TEMPLATE.read_text(encoding="utf-8"), Path(name))
    write_text(path, text)
    say(f"Wrote {path}: {about}.")
    say(f"Next: longshort train {name}")


def config_show(study: Study) -> None:
    """Print the effective settings as a study file."""
    say(to_toml(study).rstrip())


def doctor(*, as_json: bool, now: int | None = None) -> bool:
    """Say what is here and how to get what is not; False if something needed is missing."""
    findings = [*_program(), *_libraries(), *_machine(), *_lake(SystemClock().now() if now is None else now)]
    if as_json:
        emit_json([asdict(f) for f in findings])
    else:
        say_table(
            "What longshort finds on this machine",
            ["", "what", "found", "remedy"],
            [_row(f) for f in findings],
        )
        wrong = [f for f in findings if f.remedy and f.is_needed]
        say(f"{len(wrong)} to put right." if wrong else "Everything needed is here.")
    return not any(f.remedy and f.is_needed for f in findings)


def _fill(template: str, folder: Path) -> tuple[str, str]:
    """The template for the bars at hand, and words about them."""
    try:
        lake = Lake(find_lake("", folder))
    except DataError:
        lake = None
    bars = [s for s in lake.series() if s.measure == "bars"] if lake else []
    if lake is None or not bars:
        return template.replace(
            'source = "lake"', 'source = "embedded"'
        ), "on the embedded market, as there is no lake"
    chosen = max({(s.venue, s.kind) for s in bars}, key=lambda group: _preference(bars, group))
    interval = chosen[1].removeprefix("bars-")
    text = template.replace('interval = "1h"', f'interval = "{interval}"')
    if len({s.venue for s in bars}) > 1:
        text = text.replace('\nvenue = ""', f'\nvenue = "{chosen[0]}"')
    count = sum((s.venue, s.kind) == chosen for s in bars)
    return text, f"on {count} series of {interval} bars of {chosen[0]} from {lake.root}"


def _preference(bars: Sequence[Series], group: tuple[str, str]) -> tuple[bool, int, tuple[str, str]]:
    """Hourly bars first, then whichever venue and interval has most coins."""
    return group[1] == f"bars-{Interval(HOUR)}", sum((s.venue, s.kind) == group for s in bars), group


def _program() -> Iterator[Finding]:
    here = sys.version_info[:2]
    remedy = "" if here == TESTED_PYTHON else "Use Python 3.11: nothing else is tested."
    yield Finding(what="python", found=f"{platform.python_version()} at {sys.executable}", remedy=remedy)
    yield Finding(what="longshort", found=_version("longshort") or "not installed", remedy="")


def _libraries() -> Iterator[Finding]:
    """Core libraries and each extra, as the package itself declares them."""
    for requirement in requires("longshort") or []:
        library = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        marker = re.search(r"extra == [\"'](\w+)[\"']", requirement)
        extra = marker[1] if marker else ""
        if extra in {"all", "dev"}:
            continue
        found = _version(library)
        install = f'pip install "longshort[{extra}]"' if extra else "pip install longshort"
        yield Finding(
            what=f"{library} ({extra})" if extra else library,
            found=found or "not installed",
            remedy="" if found else install,
            is_needed=not extra,
        )


def _machine() -> Iterator[Finding]:
    yield Finding(what="processors", found=f"{usable_processors()} usable of {os.cpu_count()}")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    yield Finding(
        what="memory",
        found=f"{memory:,.1f} GB",
        remedy="" if memory >= WANTED_MEMORY_GB else f"Use a machine with {WANTED_MEMORY_GB:g} GB or more.",
    )
    free = shutil.disk_usage(Path()).free / 1e9
    yield Finding(
        what="disk",
        found=f"{free:,.1f} GB free here",
        remedy="" if free >= WANTED_DISK_GB else f"Free {WANTED_DISK_GB:g} GB.",
    )


def _lake(now: int) -> Iterator[Finding]:
    try:
        lake = Lake(find_lake("", Path()))
    except DataError:
        yield Finding(
            what="lake",
            found="none here or beside here",
            remedy="longshort import FILES... (the embedded market needs none)",
            is_needed=False,
        )
        yield _clock(now, latest=0)
        return
    series = lake.series()
    size = sum(lake.path(s).stat().st_size for s in series) / 1e6
    venues = ", ".join(sorted({s.venue for s in series})) or "empty"
    yield Finding(what="lake", found=f"{lake.root}: {len(series)} series, {size:,.1f} MB ({venues})")
    yield _clock(now, latest=max((_latest(lake, s) for s in series), default=0))


def _latest(lake: Lake, series: Series) -> int:
    last = lake.read(series, verify=False)[series.columns[0]].to_physical().max()
    return int(float(str(last or 0))) * MILLISECOND


def _clock(now: int, latest: int) -> Finding:
    """A clock can be proved wrong without a network only where it is behind what has already happened."""
    behind = now < latest
    return Finding(
        what="clock",
        found=f"{format_instant(now)}" + (f", behind a bar of {format_instant(latest)}" if behind else ""),
        remedy="Set the clock (timedatectl set-ntp true)." if behind else "",
    )


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def _row(finding: Finding) -> list[str | Text]:
    if not finding.remedy:
        mark = Text("ok", style="green")
    elif finding.is_needed:
        mark = Text("no", style="bold red")
    else:
        mark = Text("--", style="yellow")
    return [mark, finding.what, finding.found, finding.remedy]
