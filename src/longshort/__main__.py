"""The command line. Each command imports what it needs when it runs, so that `longshort --help` is instant.

Exit codes: 0 all is well, 1 an error that one sentence explains or a check that failed, 2 a wrong option,
130 interrupted.
"""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

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
data_ = typer.Typer(no_args_is_help=True, help="What is in the lake.")


class Form(StrEnum):
    """How exported series are written."""

    CSV = "csv"
    PARQUET = "parquet"


class Stamp(StrEnum):
    """Which instant of a bar its time names."""

    OPEN = "open"
    CLOSE = "close"


class Kind(StrEnum):
    """What a file measures."""

    BARS = "bars"
    MARK = "mark"
    INDEX = "index"
    FUNDING = "funding"
    OPEN_INTEREST = "open-interest"


StudyPath = Annotated[
    Path, typer.Argument(metavar="STUDY", help="A study file, or the folder that holds one.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a setting.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value.")]
LakePath = Annotated[
    str, typer.Option("--lake", metavar="FOLDER", help="The lake; LONGSHORT_LAKE overrides.")
]


@app.command()
def init(name: Annotated[str, typer.Argument(metavar="NAME", help="The folder to make.")]) -> None:
    """Write NAME/study.toml, commented, that runs as it is."""
    from longshort._commands import start

    start.init(name)


@app.command()
def doctor(*, as_json: AsJson = False) -> None:
    """Say what is missing on this machine and how to get it."""
    from longshort._commands import start

    _exit_unless(start.doctor(as_json=as_json))


app.add_typer(config, name="config")


@config.command()
def show(study: StudyPath, overrides: Overrides = None) -> None:
    """Print the settings in effect: file, environment, --set."""
    from longshort._commands import start
    from longshort.base.settings import Study

    start.config_show(Study.load(study, overrides or ()))


class From(StrEnum):
    """Where rows are fetched from."""

    AUTO = "auto"
    ARCHIVE = "archive"
    REST = "rest"


@app.command()
def venues(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAMES", help="Any that ccxt knows.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Say what each venue offers; closed ones say so."""
    from longshort._commands import fetch as fetching

    fetching.venues(names or (), as_json=as_json)


@app.command()
def fetch(  # noqa: PLR0913 an option each
    *,
    venue: Annotated[str, typer.Option(help="A ccxt id, like binanceusdm.")] = "binanceusdm",
    symbols: Annotated[str, typer.Option(help="Like BTC/USDT:USDT,ETH/USDT:USDT.")] = "",
    interval: Annotated[str, typer.Option(help="The length of a bar.")] = "1h",
    since: Annotated[str, typer.Option(help="The first bar to open, like 2020-01-01.")] = "",
    until: Annotated[str, typer.Option(help="Default: now.")] = "",
    mark: Annotated[bool, typer.Option("--mark", help="Bars of the mark price too.")] = False,
    index: Annotated[bool, typer.Option("--index", help="Bars of the index price too.")] = False,
    open_interest: Annotated[bool, typer.Option("--open-interest", help="And open interest.")] = False,
    funding: Annotated[bool, typer.Option(help="Funding settlements.")] = True,
    source: Annotated[From, typer.Option("--from", help="Binance: bulk archive or REST.")] = From.AUTO,
    archive: Annotated[str, typer.Option(help="A mirror of Binance's archive.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Where values differ, take the new.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Then keep the lake current, until Ctrl-C.")
    ] = False,
    lake: LakePath = "",
    as_json: AsJson = False,
) -> None:
    """Get bars, funding and more from an exchange into the lake; run again, it goes on where it was."""
    from longshort._commands import fetch as fetching

    extra = {"mark": mark, "index": index, "funding": funding, "open-interest": open_interest}
    asked = fetching.Asked(
        venue=venue,
        symbols=symbols,
        interval=interval,
        since=since,
        until=until,
        measures=("bars", *(measure for measure, wished in extra.items() if wished)),
        source=source.value,
        replace=replace,
    )
    fetching.fetch_into_lake(asked, lake=lake, archive=archive, as_json=as_json)
    if follow:
        fetching.follow_into_lake(asked, lake=lake)


@app.command(name="import")
def import_(  # noqa: PLR0913 an option each
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="Parquet, CSV or JSON.")],
    *,
    venue: Annotated[str, typer.Option(help="Default: as the files' names say.")] = "",
    kind: Annotated[Kind | None, typer.Option("--as", help="Default: as the columns say.")] = None,
    interval: Annotated[str, typer.Option(help="Like 1h; default: from their spacing.")] = "",
    stamped: Annotated[
        Stamp | None, typer.Option(help="What the time of a bar is; default: its open.")
    ] = None,
    calendar: Annotated[str | None, typer.Option(help="Stocks: their exchange's, like XNYS.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Where values differ, take the new.")] = False,
    lake: LakePath = "",
    as_json: AsJson = False,
) -> None:
    """Put bars, marks, indices, funding and open interest into the lake: all files, or none."""
    from longshort._commands import data

    options = data.parse_options(
        venue,
        kind.value if kind else None,
        interval,
        stamped.value if stamped else None,
        calendar,
        replace=replace,
    )
    data.import_into_lake(files, options, lake=lake, as_json=as_json)


app.add_typer(data_, name="data")

Patterns = Annotated[
    list[str] | None,
    typer.Argument(metavar="SERIES", help="Like binanceusdm/bars-1h/BTCUSDT or '*/BTCUSDT'."),
]


@data_.command(name="list")
def list_(patterns: Patterns = None, *, lake: LakePath = "", as_json: AsJson = False) -> None:
    """List series with their range, size and hash."""
    from longshort._commands import lake as lakes

    lakes.list_series(patterns or (), lake=lake, as_json=as_json)


@data_.command()
def export(
    patterns: Patterns = None,
    *,
    to: Annotated[Path, typer.Option(help="The folder to fill.")] = Path("export"),
    form: Annotated[Form, typer.Option("--as", help="The kind of file.")] = Form.CSV,
    lake: LakePath = "",
) -> None:
    """Write series as files that import, pandas or a spreadsheet read."""
    from longshort._commands import lake as lakes

    lakes.export(patterns or (), to=to, form=form.value, lake=lake)


@data_.command()
def delete(
    patterns: Annotated[list[str], typer.Argument(metavar="SERIES", help="As `data list` prints them.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    lake: LakePath = "",
) -> None:
    """Remove series for good."""
    from longshort._commands import lake as lakes

    lakes.delete(patterns, sure=yes, lake=lake)


@app.command()
def check(
    *,
    lake: LakePath = "",
    venue: Annotated[str, typer.Option(help="Only this venue.")] = "",
    as_json: AsJson = False,
) -> None:
    """Certify what is in the lake.

    Gaps, silence, impossible bars, odd moves, funding holes, damage. Exit code 1 if a series is broken.
    """
    from longshort._commands import check as certify

    _exit_unless(certify.check(lake=lake, venue=venue, as_json=as_json))


@app.command()
def facts(
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="Whose bars; default: the lake's.")
    ] = None,
    overrides: Overrides = None,
    *,
    lake: LakePath = "",
    venue: Annotated[str, typer.Option(help="The lake's venue.")] = "",
    interval: Annotated[str, typer.Option(help="Length of the lake's bars.")] = "1h",
    as_json: AsJson = False,
) -> None:
    """Compare the embedded market with the lake."""
    from longshort._commands import data
    from longshort.base.settings import Study

    chosen = Study.load(study, overrides or ()) if study else None
    data.facts(chosen, lake=lake, venue=venue, interval=interval, as_json=as_json)


@app.command()
def train(study: StudyPath, overrides: Overrides = None) -> None:
    """Fit the networks on the development bars and save them as a bundle."""
    from longshort._commands import run
    from longshort.base.settings import Study

    run.train(Study.load(study, overrides or ()))


@app.command()
def evaluate(
    study: StudyPath,
    overrides: Overrides = None,
    *,
    holdout: Annotated[bool, typer.Option("--holdout", help="Open the sealed part; counted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Walk forward against every rival and say in three words what the forecasts are worth."""
    from longshort._commands import run
    from longshort.base.settings import Study

    run.evaluate(Study.load(study, overrides or ()), holdout=holdout, as_json=as_json)


@app.command()
def forecast(study: StudyPath, overrides: Overrides = None, *, as_json: AsJson = False) -> None:
    """Print the distribution of the coming bars, and draw it."""
    from longshort._commands import run
    from longshort.base.settings import Study

    run.forecast(Study.load(study, overrides or ()), as_json=as_json)


@app.command()
def backtest(study: StudyPath, overrides: Overrides = None, *, as_json: AsJson = False) -> None:
    """Trade the test bars on NautilusTrader, after all costs, and write a tear sheet."""
    from longshort._commands import run
    from longshort.base.settings import Study

    run.backtest(Study.load(study, overrides or ()), as_json=as_json)


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


def _exit_unless(fine: bool) -> None:  # noqa: FBT001 a verdict, not a switch
    if not fine:
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
