"""The commands for deciding by hand: a forecast now or at every close, a card for one trade, signals to people.

As everywhere on the command line, each imports what it needs when it runs.
"""

from typing import Annotated

import typer

from longshort._commands.options import AsJson, Overrides, StudyPath

app = typer.Typer()

Follow = Annotated[bool, typer.Option("--follow", help="At every close, until Ctrl-C.")]
Bars = Annotated[int, typer.Option("--bars", min=0, help="With --follow: end after so many closes.")]


@app.command()
def forecast(
    study: StudyPath,
    overrides: Overrides = None,
    *,
    follow: Follow = False,
    bars: Bars = 0,
    as_json: AsJson = False,
) -> None:
    """Print the distribution of the coming bars, and draw it; or print it at every close."""
    from longshort.base.settings import Study

    chosen = Study.load(study, overrides or ())
    if follow:
        from longshort._commands import following

        following.follow(chosen, following.Asked(bars=bars, as_json=as_json))
        return
    from longshort._commands import run

    run.forecast(chosen, as_json=as_json)
