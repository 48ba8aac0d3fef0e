"""How long `longshort --help` and `import longshort` take, as medians of ten: `python benchmarks/startup.py`."""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

TIMES = 10


def main() -> None:
    empty = median_seconds(["-c", "pass"])
    for name, arguments in (
        ("longshort --help", ["-m", "longshort", "--help"]),
        ("import longshort", ["-c", "import longshort"]),
    ):
        taken = median_seconds(arguments)
        sys.stdout.write(f"{name}: {taken:.3f} s, of which {empty:.3f} s is Python itself\n")


def median_seconds(arguments: Sequence[str]) -> float:
    return statistics.median(seconds(arguments) for _ in range(TIMES))


def seconds(arguments: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
