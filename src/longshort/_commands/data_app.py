"""The commands of the market's data: what venues offer, fetching, importing, checking, listing, and news.

As everywhere on the command line, each imports what it needs when it runs.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from longshort._commands.options import AsJson, LakePath, Overrides, exit_unless

app = typer.Typer()
data = typer.Typer(no_args_is_help=True, help="What is in the lake.")
news = typer.Typer(no_args_is_help=True, help="Headlines, messages and indices.")


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
    from longshort._commands import venues as offers

    offers.venues(names or (), as_json=as_json)


@app.command()
def fetch(  # noqa: PLR0913 an option each
    *,
    venue: Annotated[str, typer.Option(help="A ccxt id.")] = "binanceusdm",
    symbols: Annotated[str, typer.Option(help="Like BTC/USDT:USDT,ETH/USDT:USDT.")] = "",
    interval: Annotated[str, typer.Option(help="The length of a bar.")] = "1h",
    since: Annotated[str, typer.Option(help="The first bar to open, like 2020-01-01.")] = "",
    until: Annotated[str, typer.Option(help="Default: now.")] = "",
    mark: Annotated[bool, typer.Option("--mark", help="Bars of the mark price too.")] = False,
    index: Annotated[bool, typer.Option("--index", help="Bars of the index price too.")] = False,
    open_interest: Annotated[bool, typer.Option("--open-interest", help="And open interest.")] = False,
    funding: Annotated[bool, typer.Option(help="Funding settlements.")] = True,
    preset: Annotated[str, typer.Option(help="nine-coins: the data behind the published results.")] = "",
    universe: Annotated[str, typer.Option(help="Like top50: the most traded, instead of --symbols.")] = "",
    as_of: Annotated[list[str] | None, typer.Option(help="When they were; may be repeated.")] = None,
    source: Annotated[From, typer.Option("--from", help="Binance: bulk archive or REST.")] = From.AUTO,
    archive: Annotated[str, typer.Option(help="A mirror of Binance's archive.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Where values differ, take the new.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Then keep it current, until Ctrl-C.")] = False,
    lake: LakePath = "",
    as_json: AsJson = False,
) -> None:
    """Get bars, funding and more from an exchange; run again, it goes on where it was.

    Delisted coins are among --universe where they were traded then; --preset is checked against recorded hashes.
    """
    from longshort._commands import fetch as fetching

    extra = {"mark": mark, "index": index, "funding": funding, "open-interest": open_interest}
    asked = fetching.Asked(
        venue=venue,
        symbols=symbols,
        interval=interval,
        since=since,
        until=until,
        measures=("bars", *(measure for measure, wished in extra.items() if wished)),
        preset=preset,
        universe=universe,
        as_of=tuple(as_of or ()),
        source=source.value,
        archive=archive,
        replace=replace,
    )
    exit_unless(fetching.fetch_into_lake(asked, lake=lake, as_json=as_json))
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
    from longshort._commands import data as bodies

    options = bodies.parse_options(
        venue,
        kind.value if kind else None,
        interval,
        stamped.value if stamped else None,
        calendar,
        replace=replace,
    )
    bodies.import_into_lake(files, options, lake=lake, as_json=as_json)


Patterns = Annotated[
    list[str] | None,
    typer.Argument(metavar="SERIES", help="Like binanceusdm/bars-1h/BTCUSDT or '*/BTCUSDT'."),
]


@data.command(name="list")
def list_(patterns: Patterns = None, *, lake: LakePath = "", as_json: AsJson = False) -> None:
    """List series with their range, size and hash."""
    from longshort._commands import lake as lakes

    lakes.list_series(patterns or (), lake=lake, as_json=as_json)


@data.command()
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


@data.command()
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
    refetch: Annotated[bool, typer.Option("--refetch", help="First ask the venues for every hole.")] = False,
    as_json: AsJson = False,
) -> None:
    """Certify what is in the lake.

    Gaps, silence, impossible bars, odd moves, funding holes, damage. Exit code 1 if a series is broken.
    """
    from longshort._commands import check as certify
    from longshort._commands import fetch as fetching

    if refetch:
        fetching.refetch(lake=lake, venue=venue)
    exit_unless(certify.check(lake=lake, venue=venue, as_json=as_json))


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
    from longshort._commands import data as bodies
    from longshort.base.settings import Study

    chosen = Study.load(study, overrides or ()) if study else None
    bodies.facts(chosen, lake=lake, venue=venue, interval=interval, as_json=as_json)


app.add_typer(data, name="data")
app.add_typer(news, name="news")


class Stated(StrEnum):
    """What the times of a news file say."""

    AUTO = "auto"
    TIME = "time"
    DAY = "day"


@news.command(name="fetch")
def fetch_news(
    *,
    source: Annotated[
        list[str] | None, typer.Option(help="rss:URL, reddit:SUB, json:URL or fear-greed; may be repeated.")
    ] = None,
    lake: LakePath = "",
    as_json: AsJson = False,
) -> None:
    """Ask feeds for what is new; without --source a list of public ones."""
    from longshort._commands import news as bodies

    exit_unless(bodies.fetch(source or (), lake=lake, as_json=as_json))


@news.command(name="import")
def import_news(  # noqa: PLR0913 an option each
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES", help="CSV, JSONL, Parquet, Telegram's JSON.")
    ],
    *,
    source: Annotated[str, typer.Option(help="What to call where they come from.")],
    time: Annotated[str, typer.Option(help="The column of the time.")] = "",
    text: Annotated[list[str] | None, typer.Option(help="A column of the text; may be repeated.")] = None,
    url: Annotated[str, typer.Option(help="The column of the address.")] = "",
    id_: Annotated[str, typer.Option("--id", help="The column that tells items apart.")] = "",
    value: Annotated[str, typer.Option(help="The column of an index's value.")] = "",
    zone: Annotated[str, typer.Option(help="Of times without one, like UTC.")] = "",
    stamped: Annotated[Stated, typer.Option(help="Whether times tell the hour.")] = Stated.AUTO,
    delay: Annotated[str, typer.Option(help="How late items could be known, like 1h.")] = "",
    lake: LakePath = "",
    as_json: AsJson = False,
) -> None:
    """Put files of news into the lake, each item with the instant from which it could be known."""
    from longshort._commands import news as bodies

    reading = bodies.read_options(
        time=time, text=text or (), url=url, id_=id_, value=value, zone=zone, stamped=stamped.value
    )
    bodies.import_into_lake(files, source, reading, delay=delay, lake=lake, as_json=as_json)


@news.command(name="list")
def list_news(*, lake: LakePath = "", as_json: AsJson = False) -> None:
    """List the sources with their range and hash."""
    from longshort._commands import news as bodies

    bodies.show(lake=lake, as_json=as_json)
