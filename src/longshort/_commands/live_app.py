"""The commands for deciding by hand: a forecast now or at every close, a card for one trade, signals to people.

As everywhere on the command line, each imports what it needs when it runs.
"""

from pathlib import Path
from typing import Annotated

import typer

from longshort._commands.options import AsJson, Overrides, StudyPath

app = typer.Typer()

Follow = Annotated[bool, typer.Option("--follow", help="At every close, until Ctrl-C.")]
Bars = Annotated[int, typer.Option("--bars", min=0, help="With --follow: end after so many closes.")]


@app.command()
def forecast(  # noqa: PLR0913 an option each
    study: StudyPath,
    overrides: Overrides = None,
    *,
    follow: Follow = False,
    bars: Bars = 0,
    leverage: Annotated[float | None, typer.Option(help="A card per coin for one trade, so levered.")] = None,
    risk: Annotated[str, typer.Option(metavar="SHARE", help="Of the equity, lost at the stop.")] = "",
    stop: Annotated[str, typer.Option(metavar="SHARE", help="Its distance; default: by the forecast.")] = "",
    equity: Annotated[float, typer.Option(help="Default: trading.starting_balance.")] = 0.0,
    horizon: Annotated[int, typer.Option(help="In bars; default: policy.horizon_bars.")] = 0,
    coin: Annotated[list[str] | None, typer.Option(help="Of a card; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the distribution of the coming bars, and draw it; or a card for one trade.

    With --follow at every close of the study's venue; with --leverage or --risk what one trade would be.
    """
    from longshort.base.settings import Study

    chosen = Study.load(study, overrides or ())
    if leverage is not None or risk:
        from longshort._commands import cards

        wanted = cards.Wanted(
            leverage=leverage,
            risk=risk or "1%",
            stop=stop,
            equity=equity,
            horizon=horizon,
            coins=tuple(coin or ()),
        )
        cards.cards(chosen, wanted, as_json=as_json)
        return
    if follow:
        from longshort._commands import following

        following.follow(chosen, following.Asked(bars=bars, as_json=as_json))
        return
    from longshort._commands import run

    run.forecast(chosen, as_json=as_json)


@app.command()
def signals(
    study: StudyPath,
    overrides: Overrides = None,
    *,
    follow: Follow = False,
    bars: Bars = 0,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Append them there too, as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what to hold when the policy's wish changes: on the terminal, and to whoever [notify] names."""
    from longshort._commands import signals as telling
    from longshort.base.settings import Study

    asked = telling.Asked(follow=follow, bars=bars, to=to, as_json=as_json)
    telling.signals(Study.load(study, overrides or ()), asked)


@app.command()
def paper(
    study: StudyPath,
    overrides: Overrides = None,
    *,
    bars: Annotated[int, typer.Option("--bars", min=0, help="End after so many closes; 0: go on.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Trade on paper: live bars, the backtest's venue, no money; goes on where it was stopped."""
    from longshort._commands import paper as trading
    from longshort.base.settings import Study

    trading.paper(Study.load(study, overrides or ()), trading.Asked(bars=bars, as_json=as_json))


@app.command()
def status(study: StudyPath, overrides: Overrides = None, *, as_json: AsJson = False) -> None:
    """Say how a paper account stands: positions, equity, lag, limits in force."""
    from longshort._commands import paper_desk
    from longshort.base.settings import Study

    paper_desk.status(Study.load(study, overrides or ()), as_json=as_json)


@app.command()
def stop(study: StudyPath, overrides: Overrides = None) -> None:
    """End a paper session from another terminal; positions stay as they are."""
    from longshort._commands import paper_desk
    from longshort.base.settings import Study

    paper_desk.stop(Study.load(study, overrides or ()))


@app.command()
def transfer(
    study: StudyPath,
    overrides: Overrides = None,
    *,
    deposit: Annotated[float, typer.Option(min=0.0, help="Settlement units to put in.")] = 0.0,
    withdraw: Annotated[float, typer.Option(min=0.0, help="Settlement units to take out.")] = 0.0,
) -> None:
    """Put money into a running paper account or take it out: no gain, no loss, told apart in its report."""
    from longshort._commands import paper_purse
    from longshort.base.settings import Study

    paper_purse.transfer(Study.load(study, overrides or ()), deposit - withdraw)


@app.command()
def flatten(
    study: StudyPath,
    overrides: Overrides = None,
    *,
    rearm: Annotated[bool, typer.Option("--rearm", help="Let trading go on.")] = False,
) -> None:
    """Close all positions of a paper account at the next opening price, and open none until re-armed."""
    from longshort._commands import paper_desk
    from longshort.base.settings import Study

    paper_desk.flatten(Study.load(study, overrides or ()), rearm=rearm)
