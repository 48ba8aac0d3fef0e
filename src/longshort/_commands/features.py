"""`features`: what can be known at a close, what of it a study uses and why not the rest, and is a file honest."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from longshort._commands.terminal import emit_json, progress, say, say_table
from longshort.base.settings import Study
from longshort.data.bars import Bars
from longshort.features.catalog import DEFAULT_FAMILIES, FEATURES, names_on_record
from longshort.features.contract import Problem, problems
from longshort.features.look import Feature
from longshort.features.own import own_features

CLEAN, PROBLEMS = 0, 2  # exit codes; bad input is 1, as everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A feature as the table shows it; `left_out` is empty where it is used."""

    name: str
    family: str
    inputs: tuple[str, ...]
    warmup_rows: int
    context: str
    scaling: str
    needs: tuple[str, ...]
    left_out: str
    summary: str


def features(study: Study | None, *, check: Path | None, as_json: bool) -> int:
    """List the features, with those of a study's own files, or hold a file to the contracts; return the exit code.

    Raise `StudyError` where a file cannot be used at all.
    """
    bars = _bars(study) if study else None
    own = own_features(study.features.own, study.folder) if study else {}
    if check is not None:
        return _check(check, own, bars, as_json=as_json)
    rows = _rows({**FEATURES, **own}, study, bars)
    if as_json:
        emit_json([asdict(row) for row in rows])
    else:
        _tell(rows, study)
    return CLEAN


def _bars(study: Study) -> Bars:
    from longshort.study.market import load_bars

    with progress() as report:
        return load_bars(study, report)


def _rows(catalog: Mapping[str, Feature], study: Study | None, bars: Bars | None) -> list[_Row]:
    chosen = _chosen(catalog, study, bars)
    scaling = study.features.scaling if study else {}
    return [
        _Row(
            name=name,
            family=feature.family,
            inputs=feature.inputs,
            warmup_rows=feature.warmup_rows,
            context=feature.context,
            scaling=scaling.get(name, feature.scaling),
            needs=feature.needs,
            left_out="" if name in chosen else _reason(feature, study, bars),
            summary=feature.summary,
        )
        for name, feature in catalog.items()
    ]


def _chosen(catalog: Mapping[str, Feature], study: Study | None, bars: Bars | None) -> frozenset[str]:
    if study is None or bars is None:
        return frozenset(n for n, f in catalog.items() if f.default and f.family in DEFAULT_FAMILIES)
    from longshort.study.market import first_test_row
    from longshort.study.recipe import recipe_of

    return frozenset(recipe_of(study, bars[: first_test_row(study, bars)]).names)


def _reason(feature: Feature, study: Study | None, bars: Bars | None) -> str:
    """Why a study does not use a feature."""
    if study is not None and study.features.names:
        return "not among features.names"
    if not feature.default:
        return "by name only"
    lacking = _lacking(feature, bars) if bars is not None else []
    return f"no record of {', '.join(lacking)}" if lacking else "with its family"


def _lacking(feature: Feature, bars: Bars) -> list[str]:
    """The records that it needs and that some coin of the study has not."""
    alone = {need: Feature(compute=feature.compute, family="", needs=(need,)) for need in feature.needs}
    return [need for need in feature.needs if need not in names_on_record(bars, alone)]


def _tell(rows: Sequence[_Row], study: Study | None) -> None:
    columns = ["feature", "family", "reads", ">warm-up", "context", "scaling", "used", "what it says"]
    table = [
        [
            row.name,
            row.family,
            ", ".join(row.inputs),
            f"{row.warmup_rows:,}",
            row.context,
            row.scaling,
            row.left_out or "yes",
            row.summary,
        ]
        for row in rows
    ]
    say_table("Features" + (" of this study" if study else ""), columns, table)
    used = sum(not row.left_out for row in rows)
    say(f"{used} of {len(rows)} {'in use' if study else 'in the default set'}; warm-ups are rows of 1h bars.")
    if study and study.features.denoise:
        say(f"They read prices filtered by {study.features.denoise}.")


def _check(file: Path, others: Mapping[str, Feature], bars: Bars | None, *, as_json: bool) -> int:
    own = own_features([str(file)])
    found: list[Problem] = []
    with progress() as report:
        for done, (name, feature) in enumerate(own.items()):
            report("checking features", done, len(own))
            found += problems(name, feature, catalog={**FEATURES, **others, **own}, bars=bars)
        report("checking features", len(own), len(own))
    if as_json:
        emit_json({"features": list(own), "problems": [asdict(problem) for problem in found]})
    elif found:
        rows = [[problem.feature, problem.contract, str(problem)] for problem in found]
        say_table(f"Contracts that {file} breaks", ["feature", "contract", "what was seen"], rows)
    else:
        say(f"{file}: {len(own)} {'feature keeps' if len(own) == 1 else 'features keep'} every contract.")
    return PROBLEMS if found else CLEAN
