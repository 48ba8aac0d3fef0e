"""`demo`: the main job, start to end, on the embedded market: offline, in a minute and a half."""

import time
from pathlib import Path

from longshort._commands import run
from longshort._commands.terminal import note, say
from longshort.base.files import write_text
from longshort.base.settings import Study

STUDY = """\
# The study of `longshort demo`: a small simulated market, small networks, few folds.
# Every key left out has its default.
[data]
source = "embedded"
embedded_coins = 4
embedded_bars = 5000

[model]
hidden = 32
seeds = [1, 2]

[training]
steps = 50
chunk_bars = 128
burn_in_bars = 32
batch_chunks = 24

[validation]
folds = 3
"""


def demo(folder: Path) -> None:
    """Train, evaluate, forecast and trade; leave everything in a folder."""
    began = time.perf_counter()
    path = folder / "study.toml"
    if not path.exists():
        write_text(path, STUDY)
    study = Study.load(path)
    note("A simulated market of 4 perpetuals that holds no edge in direction: an honest tool must say so.")
    run.evaluate(study, holdout=False, as_json=False)
    run.train(study)
    run.forecast(study, as_json=False)
    run.backtest(study, as_json=False)
    say(
        f"Done in {time.perf_counter() - began:.0f} s. Everything is in {folder}/: change {path} and run a part again."
    )
