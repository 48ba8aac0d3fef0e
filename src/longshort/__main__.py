"""The command line. Each command imports what it needs when it runs, so that `longshort --help` is instant.

Exit codes: 0 all is well, 1 an error that one sentence explains or a check that failed, 2 a wrong option, or a leak
that was found, 130 interrupted.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from longshort._commands import data_app, live_app
from longshort._commands.options import AsJson, Overrides, Pictures, Refine, StudyPath, exit_unless, exit_with
from longshort.base.errors import LongshortError

app = typer.Typer(
    name="longshort",
    help="Forecast crypto futures with LSTM networks, prove what the forecasts are worth, and trade them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # rich help would take half of the 0.3 s that --help may take
)
config = typer.Typer(no_args_is_help=True, help="The settings of a study.")


@app.command()
def init(name: Annotated[str, typer.Argument(metavar="NAME", help="The folder to make.")]) -> None:
    """Write NAME/study.toml, commented, that runs as it is."""
    from longshort._commands import start

    start.init(name)


@app.command()
def doctor(*, as_json: AsJson = False) -> None:
    """Say what is missing on this machine and how to get it."""
    from longshort._commands import start

    exit_unless(start.doctor(as_json=as_json))


app.add_typer(config, name="config")


@config.command()
def show(study: StudyPath, overrides: Overrides = None) -> None:
    """Print the settings in effect: file, environment, --set."""
    from longshort._commands import start
    from longshort.base.settings import Study

    start.config_show(Study.load(study, overrides or ()))


app.add_typer(data_app.app)


@app.command()
def features(
    study: Annotated[
        Path | None,
        typer.Argument(metavar="[STUDY]", help="A study's folder or file: which of them it reads."),
    ] = None,
    overrides: Overrides = None,
    *,
    check: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Hold the features of a file to their contracts.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what a network may read, or check features of your own."""
    from longshort._commands import features as listing
    from longshort.base.settings import Study

    named = Study.load(study, overrides or ()) if study else None
    exit_with(listing.features(named, check=check, as_json=as_json))


@app.command()
def train(
    study: StudyPath,
    overrides: Overrides = None,
    *,
    refine: Refine = False,
) -> None:
    """Fit the networks on the development bars and save them as a bundle."""
    from longshort._commands import run
    from longshort.base.settings import Study

    (run.refine if refine else run.train)(Study.load(study, overrides or ()))


@app.command()
def tune(
    study: Annotated[Path, typer.Argument(metavar="[STUDY]", help="A study's folder or file.")] = Path(),
    overrides: Overrides = None,
    *,
    trials: Annotated[int, typer.Option(help="In all, kept ones too; 0: as the study says.")] = 0,
    minutes: Annotated[float, typer.Option(help="After which no trial begins; 0: no end.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Search for better settings on rows before the first test row, and write the best study."""
    from longshort._commands import tune as search
    from longshort.base.settings import Study

    asked = search.Asked(trials=trials, minutes=minutes, as_json=as_json)
    search.tune(Study.load(study, overrides or ()), asked)


@app.command()
def evaluate(
    study: StudyPath,
    overrides: Overrides = None,
    *,
    holdout: Annotated[bool, typer.Option("--holdout", help="Open the sealed part; counted.")] = False,
    scheme: Annotated[
        str, typer.Option("--scheme", help="rolling; or combinatorial, coins, periods, regimes: no verdict.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Walk forward against every rival and say in three words what the forecasts are worth."""
    from longshort._commands import run
    from longshort.base.settings import Study

    chosen = [f"validation.scheme={scheme}"] if scheme else []
    run.evaluate(Study.load(study, [*(overrides or ()), *chosen]), holdout=holdout, as_json=as_json)


@app.command()
def opponents(
    study: Annotated[Path | None, typer.Argument(metavar="[STUDY]", help="Mark its choice.")] = None,
) -> None:
    """List whom a model can be made to beat, and at how many bars each of them speaks."""
    from longshort._commands import tell
    from longshort.base.settings import Study

    tell.tell_opponents(Study.load(study) if study else Study())


@app.command()
def report(
    study: StudyPath,
    sections: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SECTION]...", help="Like trading or failures; default: all."),
    ] = None,
    *,
    live: Annotated[bool, typer.Option("--live", help="Why paper and backtest booked other money.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the evidence of a study's latest evaluation, topic by topic."""
    from longshort._commands import evidence
    from longshort.base.settings import Study

    evidence.show(Study.load(study), tuple(sections or ()), live=live, as_json=as_json)


@app.command()
def audit(  # noqa: PLR0913 each is an option
    study: Annotated[Path | None, typer.Argument(metavar="[STUDY]", help="A study's folder or file.")] = None,
    overrides: Overrides = None,
    *,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Every fold and seed, and once on shuffled targets.")
    ] = False,
    forecasts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Somebody's forecasts, CSV or Parquet.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The prices, where the forecasts' file has none.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="ROLE=NAME", help="A column, like forecast=NAME; found by default."),
    ] = None,
    kind: Annotated[
        str, typer.Option("--as", metavar="KIND", help="What is forecast: levels or returns.")
    ] = "",
    stamped: Annotated[
        str, typer.Option(metavar="WHEN", help="What a row's instant is: target or made.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Prove that nothing knew the future, in a study or in a file of forecasts; exit code 2: something did."""
    from longshort._commands import audit as leaks
    from longshort.base.settings import Study

    asked = leaks.Asked(
        thorough=thorough,
        forecasts=forecasts,
        prices=prices,
        columns=tuple(columns or ()),
        kind=kind,
        stamped=stamped,
        as_json=as_json,
    )
    exit_with(leaks.audit(Study.load(study, overrides or ()) if study else None, asked))


app.add_typer(live_app.app)


@app.command()
def explain(  # noqa: PLR0913 each is an option
    study: StudyPath,
    overrides: Overrides = None,
    *,
    coin: Annotated[str, typer.Option(help="Whose gates and inputs; empty: the first coin's gates.")] = "",
    bars: Annotated[int, typer.Option(min=48, max=5_000, help="How many of the latest bars.")] = 168,
    pictures: Pictures = None,
    as_json: AsJson = False,
    opened: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Show what the network remembers, what its units follow, and what its forecasts rest on."""
    from longshort._commands import explain as looking
    from longshort.base.settings import Study

    wish = looking.Wish(coin=coin, bars=bars, pictures=pictures, as_json=as_json, opened=opened)
    looking.explain_study(Study.load(study, overrides or ()), wish)


@app.command()
def export(
    study: StudyPath,
    overrides: Overrides = None,
    *,
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to; default: onnx beside the study.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained study's networks as ONNX, held against torch on its own rows."""
    from longshort._commands import export as exporting
    from longshort.base.settings import Study

    exporting.export(Study.load(study, overrides or ()), to=to, as_json=as_json)


@app.command()
def backtest(study: StudyPath, overrides: Overrides = None, *, as_json: AsJson = False) -> None:
    """Trade the test bars on NautilusTrader, after all costs, and write a tear sheet."""
    from longshort._commands import run
    from longshort.base.settings import Study

    run.backtest(Study.load(study, overrides or ()), as_json=as_json)


@app.command()
def runs(
    study: Annotated[Path, typer.Argument(metavar="[STUDY]", help="A study's folder or file.")] = Path(),
    *,
    as_json: AsJson = False,
) -> None:
    """List what was run beside a study: words, key figures, and which model it came from."""
    from longshort._commands import runs as lineages

    lineages.runs(study, as_json=as_json)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or its name.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Say what two runs differ in: settings, data, code, figures, and whether they can be compared."""
    from longshort._commands import runs as lineages

    lineages.compare(first, second, as_json=as_json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where to put it.")] = Path("demo"),
) -> None:
    """Do all of it on the embedded market, offline."""
    from longshort._commands import demo as show_all

    show_all.demo(folder)


def main() -> None:
    """Run the command line; an error of ours is one line on stderr and exit code 1."""
    try:
        app()
    except LongshortError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
