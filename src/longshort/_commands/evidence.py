"""`report`: what the latest evaluation of a study found, printed from its folder without computing anything.

With `--live`: how its paper session and the backtest of the same closes part.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from longshort._commands.show import flags_from, sections_from, show_flags, show_sections
from longshort._commands.terminal import emit_json, say
from longshort.base.clock import format_instant
from longshort.base.errors import StudyError
from longshort.base.settings import Study

REMEDY = "Run `longshort evaluate STUDY` first."


def show(study: Study, only: Sequence[str] = (), *, live: bool = False, as_json: bool = False) -> None:
    """Print the latest evaluation, or the gap between paper and backtest."""
    if live:
        from longshort._commands.gap import show_gap

        show_gap(study, as_json=as_json)
    elif as_json:
        emit_json(json.loads(_latest(study).read_text(encoding="utf-8")))
    else:
        show_latest(study, only)


def show_latest(study: Study, only: Sequence[str] = ()) -> None:
    """Print the title, the red flags and the sections, all or those that are named."""
    path = _latest(study)
    plain = json.loads(path.read_text(encoding="utf-8"))
    say(f"{plain['title']}, evaluated {format_instant(int(plain['created_at']))}", style="bold")
    if not only:
        show_flags(flags_from(plain.get("flags", ())))
    show_sections(sections_from(plain.get("sections", ())), only)
    say("")
    say(f"Report: {path.with_name('report.html')}")


def _latest(study: Study) -> Path:
    found = [
        path for kind in ("evaluate", "holdout") for path in study.folder.glob(f"runs/{kind}-*/report.json")
    ]
    if not found:
        raise StudyError("there is no evaluation of this study yet.", where=study.folder, remedy=REMEDY)
    return max(found, key=lambda path: path.stat().st_mtime_ns)
