"""`import` and `facts`: fill the lake, and say what its returns are like."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from longshort._commands.terminal import emit_json, note, say, say_table
from longshort.base.calendar import find_calendar
from longshort.base.clock import Interval, format_instant
from longshort.base.errors import DataError
from longshort.base.settings import DataSettings, Study
from longshort.data.bars import Bars
from longshort.data.facts import Facts, measure_facts, profile_correlation
from longshort.data.files.importer import Imported, ImportOptions, import_files
from longshort.data.files.sources import source_of
from longshort.data.lake import Lake, Measure
from longshort.data.market import find_lake, load_bars


def import_into_lake(files: Sequence[Path], options: ImportOptions, *, lake: str, as_json: bool) -> None:
    """Import and say what each series received."""
    root = Path(os.environ.get("LONGSHORT_LAKE", "") or lake or "lake")
    imported = import_files(files, Lake(root), options)
    if as_json:
        emit_json([_imported_json(i) for i in imported])
        return
    for venue in dict.fromkeys(i.series.venue for i in imported):
        _say_imported(root, venue, [i for i in imported if i.series.venue == venue], options)
    if not any(i.added + i.changed for i in imported):
        say("Nothing new: every row was in the lake already.")
    if not options.venue:
        note("The venue is the one that the files' names tell; --venue names another.")
    note("Look them over with `longshort check`.")


def parse_options(
    venue: str,
    measure: Measure | None,
    interval: str,
    stamped: Literal["open", "close"] | None,
    calendar: str | None,
    *,
    replace: bool,
) -> ImportOptions:
    """The options as the command line gives them."""
    parsed = Interval.parse(interval) if interval else None
    return ImportOptions(
        venue=venue,
        measure=measure,
        interval=parsed,
        stamped=stamped,
        calendar=calendar and find_calendar(calendar).name,
        replace=replace,
    )


def facts(study: Study | None, *, lake: str, venue: str, interval: str, as_json: bool) -> None:
    """Print the facts of the embedded market beside those of the lake, where there is one."""
    wanted = (
        study.data
        if study
        else DataSettings.model_validate({"lake": lake, "venue": venue, "interval": interval})
    )
    embedded = load_bars(
        wanted.model_copy(
            update={
                "source": "embedded",
                "interval": "1h",
                "symbols": (),
                "since": "",
                "until": "",
                "calendar": "",
            }
        )
    )
    markets = {"embedded": embedded}
    folder = study.folder if study else Path()
    real = _lake_bars(wanted, folder)
    if real is not None:
        markets["lake"] = real
    measured = {name: measure_facts(bars) for name, bars in markets.items()}
    if as_json:
        emit_json({name: asdict(f) | {"hour_ratio": f.hour_ratio} for name, f in measured.items()})
        return
    for name, bars in markets.items():
        say(f"{name}: {_describe(bars)}")
    _say_facts(measured)


def _say_imported(root: Path, venue: str, imported: Sequence[Imported], options: ImportOptions) -> None:
    rows = [
        [
            i.series.kind,
            i.series.symbol,
            f"{i.rows:,}",
            f"{i.added:,}",
            f"{i.changed:,}",
            format_instant(i.first_at),
            format_instant(i.last_at),
        ]
        for i in imported
    ]
    calendar = source_of(venue).calendar if options.calendar is None else options.calendar
    stamped = options.stamped or source_of(venue).stamped
    how = f"days of {calendar}" if calendar else f"bars stamped at their {stamped}"
    title = f"{root}/{venue}: {len(imported)} series, {how}"
    say_table(title, ["kind", "symbol", ">rows", ">new", ">replaced", "first", "last"], rows)
    for i in imported:
        if i.widened:
            say(
                f"{i.series.symbol}: bars of {venue} open at the close before, so {i.widened:,} opened outside their "
                "range; their high or low was moved to hold the open."
            )


def _imported_json(imported: Imported) -> dict[str, object]:
    return {
        "venue": imported.series.venue,
        "kind": imported.series.kind,
        "symbol": imported.series.symbol,
        "files": [str(f) for f in imported.files],
        "rows": imported.rows,
        "added": imported.added,
        "replaced": imported.changed,
        "widened": imported.widened,
        "first": format_instant(imported.first_at),
        "last": format_instant(imported.last_at),
    }


def _lake_bars(wanted: DataSettings, folder: Path) -> Bars | None:
    try:
        find_lake(wanted.lake, folder)
    except DataError as error:
        note(str(error))
        return None
    return load_bars(wanted.model_copy(update={"source": "lake"}), folder)


def _describe(bars: Bars) -> str:
    span = f"{format_instant(int(bars.closed_at[0]))} to {format_instant(int(bars.closed_at[-1]))}"
    return f"{len(bars.symbols)} coins of {bars.venue}, {bars.interval} bars, {span}"


def _say_facts(measured: dict[str, Facts]) -> None:
    def row(name: str, unit: str, values: Sequence[float], decimals: int = 2) -> list[str]:
        return [name, *("-" if value != value else f"{value:.{decimals}f}" for value in values), unit]  # noqa: PLR0124

    all_facts = list(measured.values())
    rows = [
        row("volatility", "% per year", [100 * f.volatility_per_year for f in all_facts], 1),
        row("kurtosis, median coin", "(normal: 3)", [f.kurtosis for f in all_facts], 1),
        row("moves beyond 4 std", "% of bars", [100 * f.beyond_4_std for f in all_facts]),
        row("autocorrelation of |r|, 1 h", "", [f.autocorrelation_1h for f in all_facts]),
        row("autocorrelation of |r|, 24 h", "", [f.autocorrelation_24h for f in all_facts]),
        row("autocorrelation of |r|, 168 h", "", [f.autocorrelation_168h for f in all_facts]),
        row("correlation between coins", "", [f.cross_correlation for f in all_facts]),
        row("|r| at the wildest hour", "x the calmest", [f.hour_ratio for f in all_facts]),
        row("|r| at the weekend", "x weekdays", [f.weekend_ratio for f in all_facts]),
        row("leverage: r with the next |r|", "", [f.leverage for f in all_facts]),
    ]
    say_table("What the returns r are like", ["fact", *(f">{name}" for name in measured), "unit"], rows)
    if len(all_facts) > 1:
        say(f"The hours of the day agree with a correlation of {profile_correlation(*all_facts):.2f}.")
