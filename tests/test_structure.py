"""The shape of the program: what imports what, what stays out, and what the files may hold."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import longshort

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "longshort"
MODULES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = {"torch", "pandas", "ccxt", "nautilus_trader"}
KEPT = ("src", "tests", "docs", "benchmarks", ".ci")
FORBIDDEN_WORDS = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "v2"}

LOADED = """
import json, runpy, sys
sys.argv = {argv!r}
try:
    {statement}
except SystemExit:
    pass
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""

# Other people's libraries are loaded once; each of our modules is then imported in a process of its own.
ALONE = """
import concurrent.futures, json, multiprocessing, os, resource, socket, sqlite3, sys, threading, tomllib
import jaxtyping, jinja2, numba, numpy, polars, pydantic.main, rich.console, rich.progress, rich.table
import safetensors.numpy, scipy.optimize, scipy.signal, scipy.special, scipy.stats, torch, typer
import nautilus_trader.backtest.engine, nautilus_trader.config, nautilus_trader.trading.strategy

def blocked(*arguments, **options):
    raise OSError("a module opened a socket while it was imported")

socket.socket.connect = socket.socket.bind = socket.create_connection = socket.getaddrinfo = blocked
wrong = {}
for room in json.loads(sys.argv[1]):
    for name in room:
        reading, writing = os.pipe()
        if not os.fork():
            said, threads = "", threading.active_count()
            before = numpy.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()
            try:
                __import__(name)
            except BaseException as error:
                said = f"{type(error).__name__}: {error}"
            after = numpy.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()
            if not said and (threading.active_count(), after) != (threads, before):
                said = "it started a thread or drew a random number"
            os.write(writing, said[:2000].encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            said = answer.read()
        os.wait()
        if said:
            wrong[name] = said
    for name in room:  # found good alone: the rooms above need not wait for it again, for none imports them back
        if name not in wrong:
            __import__(name)
print(json.dumps({"wrong": wrong, "files": sorted(os.listdir("."))}))
"""


def python(code: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        cwd=cwd,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def kept_files() -> list[Path]:
    found = [path for folder in KEPT for path in (ROOT / folder).rglob("*") if path.is_file()]
    top = [path for path in ROOT.iterdir() if path.is_file()]
    return [p for p in (*found, *top) if "__pycache__" not in p.parts and "egg-info" not in str(p)]


@pytest.mark.parametrize(
    "statement",
    ["import longshort", "runpy.run_module('longshort', run_name='__main__')"],
    ids=["import longshort", "longshort --help"],
)
def test_neither_the_import_nor_the_help_loads_a_heavy_library(statement: str) -> None:
    code = LOADED.format(argv=["longshort", "--help"], statement=statement)

    loaded = json.loads(python(code).stdout.splitlines()[-1])

    assert "longshort" in loaded
    assert not HEAVY & set(loaded)


def test_the_help_lists_every_command() -> None:
    said = python(
        "import runpy, sys; sys.argv = ['longshort', '--help']; runpy.run_module('longshort', run_name='__main__')"
    )

    listed = set(re.findall(r"^  ([a-z]+) ", said.stdout.partition("Commands:")[2], flags=re.MULTILINE))

    assert listed == {
        "init", "venues", "fetch", "import", "check", "data", "news", "facts", "doctor", "config", "features", "train",
        "tune", "explain", "export", "evaluate", "opponents", "report", "audit", "forecast", "signals", "backtest",
        "runs", "compare", "demo", "paper", "status", "stop", "flatten", "transfer",
    }  # fmt: skip


def test_every_module_imports_alone_and_importing_does_nothing(tmp_path: Path) -> None:
    names = [module_name(path) for path in MODULES if path.name != "__main__.py"]
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    order = [name.strip("() ") for layer in reversed(layers) for name in layer.split("|")]
    rooms = [[name for name in names if name.split(".")[1:2] == [room]] for room in order]

    found = json.loads(python(ALONE, json.dumps([["longshort"], *rooms]), cwd=tmp_path).stdout)

    assert sum(len(room) for room in rooms) + 1 == len(names)

    assert found == {"wrong": {}, "files": []}


def test_the_folders_in_alphabetical_order_are_the_layers_from_the_ground_up() -> None:
    contract = PROJECT["tool"]["importlinter"]["contracts"][0]
    layers = [name.strip("() ") for layer in reversed(contract["layers"]) for name in layer.split("|")]
    rooms = [name for name in layers if not name.startswith("_")]
    folders = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())

    assert rooms == sorted(rooms)
    assert contract["exhaustive"]
    assert {*folders, "__main__"} <= set(layers)
    assert set(layers) <= {*folders, "__main__"}


def test_a_room_imports_only_rooms_above_it() -> None:
    linted = subprocess.run(  # noqa: S603 our own interpreter
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_fits_on_a_few_screens_and_opens_with_a_promise(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) <= 300
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_module_or_class_has_a_name_that_says_nothing(path: Path) -> None:
    classes = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    words = {
        word.lower()
        for name in (*classes, *path.relative_to(PACKAGE).with_suffix("").parts)
        for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", name)
    }

    assert not words & FORBIDDEN_WORDS


def test_nothing_prints_outside_the_commands() -> None:
    printing = [
        str(path.relative_to(PACKAGE))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]

    assert printing == []


def test_the_public_names_are_sorted_and_every_one_is_there() -> None:
    assert longshort.__all__ == sorted(longshort.__all__)
    assert set(longshort.__all__) == set(longshort._HOMES)
    assert all(getattr(longshort, name).__doc__ for name in longshort.__all__)
    assert dir(longshort) == longshort.__all__


def test_a_public_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'forcast'"):
        _ = longshort.forcast


def test_only_the_package_itself_has_an_all() -> None:
    others = [str(p) for p in MODULES if p != PACKAGE / "__init__.py" and "__all__" in p.read_text()]

    assert others == []


def test_no_file_holds_a_path_of_the_machine_it_was_written_on() -> None:
    places = [
        str(ROOT),
        str(Path.home()),
        *("/" + "/".join(p) for p in (("home", ""), ("Users", ""), ("work", ""))),
    ]
    texts = {path: path.read_text(errors="ignore") for path in kept_files()}

    found = [
        (str(path.relative_to(ROOT)), place)
        for path, text in texts.items()
        for place in places
        if place in text
    ]

    assert found == []


def test_the_changelog_knows_this_version() -> None:
    latest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)

    assert latest is not None
    assert latest[1] == longshort.__version__ == PROJECT["project"]["version"]


def test_the_lock_pins_everything_that_is_declared_and_nothing_of_a_machine() -> None:
    lines = [n for n in (ROOT / "requirements.lock").read_text().splitlines() if not n.startswith("#")]
    pinned = dict(line.lower().replace("_", "-").split("==") for line in lines)
    project = PROJECT["project"]
    declared = [*project["dependencies"], *(r for e in project["optional-dependencies"].values() for r in e)]
    wanted = {re.split(r"[\[>=<]", r)[0].lower().replace("_", "-") for r in declared} - {"longshort"}

    assert wanted <= set(pinned)
    assert pinned["torch"] == "2.13.0"
    assert not [name for name in pinned if re.search(r"nvidia|cuda|triton", name)]
    assert not [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)]


def test_extras_are_named_for_what_they_do_and_hold_something() -> None:
    extras = PROJECT["project"]["optional-dependencies"]

    assert set(extras) == {
        "baselines",
        "classifier",
        "exchange",
        "export",
        "news",
        "notify",
        "stocks",
        "trade",
        "tune",
        "all",
        "dev",
    }
    assert all(extras.values())
