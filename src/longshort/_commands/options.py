"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

StudyPath = Annotated[
    Path, typer.Argument(metavar="STUDY", help="A study file, or the folder that holds one.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
Refine = Annotated[
    bool, typer.Option("--refine", help="Go on from the saved bundle, with the bars that came since.")
]
Pictures = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Write the drawings there too, as SVG files.")
]
LakePath = Annotated[
    str, typer.Option("--lake", metavar="FOLDER", help="The lake; LONGSHORT_LAKE overrides.")
]


def exit_unless(fine: bool) -> None:  # noqa: FBT001 a verdict, not a switch
    """Leave with exit code 1 where a check failed."""
    if not fine:
        raise typer.Exit(1)


def exit_with(code: int) -> None:
    """Leave with an exit code; 0 goes on."""
    if code:
        raise typer.Exit(code)
