"""The documentation says what is there: links lead somewhere, names exist, commands run."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from typer.main import get_command

from longshort.__main__ import app
from tests.conftest import Said
from tests.readme import BLOCK, README, ROOT, arguments, prepare, steps

PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGE = ROOT / "src" / "longshort"
PLACE = re.compile(r"`((?:\w+/)*\w+\.py)(?::([\w.]+))?`")
SMALL = {  # the README's study, made small enough for a test
    "LONGSHORT_DATA__SINCE": '"2024-09-15"',
    "LONGSHORT_MODEL__HIDDEN": "8",
    "LONGSHORT_MODEL__SEEDS": "[1]",
    "LONGSHORT_TRAINING__STEPS": "20",
    "LONGSHORT_TRAINING__CHECK_EVERY": "10",
    "LONGSHORT_TRAINING__CHUNK_BARS": "96",
    "LONGSHORT_TRAINING__BATCH_CHUNKS": "8",
    "LONGSHORT_TRAINING__PROCESSES": "1",
    "LONGSHORT_VALIDATION__FOLDS": "2",
    "LONGSHORT_VALIDATION__FIRST_TRAIN_SHARE": "0.7",
}
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_every_link_into_the_repository_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


@every_page
def test_every_place_named_in_a_page_exists(page: Path) -> None:
    named = PLACE.findall(page.read_text())

    assert [(path, name) for path, name in named if not _is_there(path, name)] == []


def test_the_tour_names_every_room() -> None:
    text = (ROOT / "docs" / "tour.md").read_text()
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}

    assert {room for room in rooms if f"`{room}/" not in text} == set()


def test_the_readme_draws_the_map_as_the_folders_are() -> None:
    drawn = re.findall(r"^      (\w+)/  ", README.read_text(), flags=re.MULTILINE)

    assert drawn == sorted(
        p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file() and p.name[0] != "_"
    )


@every_page
def test_every_command_that_a_page_names_is_one(page: Path) -> None:
    known = set(get_command(app).commands) | {"STUDY"}  # type: ignore[attr-defined]
    named = re.findall(r"(?:`|\$ |^    )longshort ([a-z]+)", page.read_text(), flags=re.MULTILINE)

    assert set(named) - known == set()


@every_page
def test_every_make_target_that_a_page_names_is_one(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = re.findall(r"(?:`|^    )make ([a-z-]+)", page.read_text(), flags=re.MULTILINE)

    assert set(named) - targets == set()


def test_the_readmes_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)

    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 our own page

    assert capsys.readouterr().out == "('SIM01USDT', 'SIM02USDT') (2000, 2)\n"


def test_the_readmes_commands_run_in_order_and_print_tables_of_the_same_form(
    real_data: Path, tmp_path: Path, inside: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, real_data)
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)

    for step in (step for block in BLOCK.findall(README.read_text()) for step in steps(block)):
        said = inside(*arguments(step, tmp_path), cwd=tmp_path)
        assert said.code == 0, said.err
        assert _headings(step.output) <= _headings(tuple(said.out.splitlines())), step.command


def _is_there(path: str, name: str) -> bool:
    found = [p for root in (PACKAGE, ROOT) if (p := root / path).is_file()]
    last = re.escape(name.rpartition(".")[2])
    return any(
        re.search(rf"^\s*((async )?def|class) {last}\b|^{last}\b", p.read_text(), flags=re.MULTILINE)
        for p in found
    ) or (bool(found) and not name)


def _headings(lines: tuple[str, ...]) -> set[str]:
    """What stands above each table's rule, spacing aside."""
    return {" ".join(above.split()) for above, rule in pairwise(lines) if rule.strip().startswith("───")}
