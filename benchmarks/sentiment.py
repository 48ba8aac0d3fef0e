"""Headlines labelled by people: how often VADER, our lexicon and the majority class agree with them.

    python benchmarks/sentiment.py --data ../shared/data [--model FOLDER] [--choosing]

Words, weights and both thresholds were chosen on headlines before 2021-05-26; those from that day on are the judges.
`--choosing` prints the first half instead, whose figures are flattered. A text of both halves belongs to the first.
"""

import argparse
import re
import time
from collections.abc import Callable
from datetime import date
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
from scipy import stats

from longshort.features.sentiment.lexicon import VaderScorer, crypto_lexicon

JUDGED_FROM = date(2021, 5, 26)
CLASSES = (-1, 0, 1)
PLAIN_AT = 0.05  # VADER's own threshold; on the choosing half none does better
OURS_AT = 0.2  # below the score of one mild word, .25: the best of the choosing half
DRAWS = 10_000
FILE = Path("sentiment") / "cryptolin_labelled_headlines.parquet"

Metric = Callable[[np.ndarray, np.ndarray], float]


def main() -> None:
    options = parse()
    rows = half(pl.read_parquet(options.data / FILE), choosing=options.choosing)
    truth = rows["label"].to_numpy()
    texts = rows["headline"].to_list()
    counts = ", ".join(f"{int((truth == c).sum())} of {c:+d}" for c in CLASSES)
    print(f"{len(rows):,} headlines, {rows['date'].min()} to {rows['date'].max()}: {counts}")
    said = {
        "always +1 (the majority)": np.ones_like(truth),
        "plain VADER": classes(timed(VaderScorer(), texts), PLAIN_AT),
        "VADER with our lexicon": classes(timed(VaderScorer(crypto_lexicon()), texts), OURS_AT),
    }
    if options.model:
        from longshort.models.classifier import Classifier

        said["the classifier"] = classes(timed(Classifier(options.model), texts), 1 / 3)
    for name, answers in said.items():
        tell(name, truth, answers)
    ours = said["VADER with our lexicon"]
    for rival in ("plain VADER", "always +1 (the majority)"):
        mcnemar(f"our lexicon against {rival}", truth, ours, said[rival])
    people(rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with sentiment/")
    parser.add_argument("--model", type=Path, help="folder of a text classifier to judge too")
    parser.add_argument("--choosing", action="store_true", help="the half on which words were chosen")
    return parser.parse_args()


def half(rows: pl.DataFrame, *, choosing: bool) -> pl.DataFrame:
    """The headlines of one half; what differs in case and punctuation only is one text, of its first day."""
    plain = pl.Series([" ".join(re.findall(r"\w+", text.lower())) for text in rows["headline"]])
    first = rows.with_columns(plain.alias("plain")).with_columns(
        pl.col("date").min().over("plain").alias("first")
    )
    is_early = pl.col("first") < JUDGED_FROM
    return first.filter(is_early if choosing else ~is_early).sort("date", "headline")


def timed(scorer: object, texts: list[str]) -> np.ndarray:
    started = time.perf_counter()
    scores = scorer.score(texts)  # type: ignore[attr-defined]
    per_second = len(texts) / (time.perf_counter() - started)
    print(f"{scorer.name}: {per_second:,.0f} headlines a second")  # type: ignore[attr-defined]
    return scores


def classes(scores: np.ndarray, at: float) -> np.ndarray:
    return np.where(scores >= at, 1, np.where(scores <= -at, -1, 0))


def accuracy(truth: np.ndarray, said: np.ndarray) -> float:
    return float((truth == said).mean())


def recalls(truth: np.ndarray, said: np.ndarray) -> list[float]:
    return [float((said[truth == c] == c).mean()) for c in CLASSES]


def balanced(truth: np.ndarray, said: np.ndarray) -> float:
    return float(np.mean(recalls(truth, said)))


def macro_f1(truth: np.ndarray, said: np.ndarray) -> float:
    both = [((truth == c) & (said == c)).sum() for c in CLASSES]
    either = [(truth == c).sum() + (said == c).sum() for c in CLASSES]
    return float(np.mean([2 * b / max(e, 1) for b, e in zip(both, either, strict=True)]))


def tell(name: str, truth: np.ndarray, said: np.ndarray) -> None:
    exact = stats.binomtest(int((truth == said).sum()), len(truth)).proportion_ci()
    print(f"\n{name}")
    print(f"  accuracy          {accuracy(truth, said):.3f}  [{exact.low:.3f}, {exact.high:.3f}] exact")
    for label, metric in (("macro-F1", macro_f1), ("balanced accuracy", balanced)):
        low, high = interval(metric, truth, said)
        print(f"  {label:<17} {metric(truth, said):.3f}  [{low:.3f}, {high:.3f}] bootstrap")
    shares = ", ".join(f"{c:+d}: {r:.3f}" for c, r in zip(CLASSES, recalls(truth, said), strict=True))
    print(f"  found of each     {shares}")


def interval(metric: Metric, truth: np.ndarray, said: np.ndarray) -> tuple[float, float]:
    """The middle 95 % over headlines drawn again within each class, so that none is ever empty."""
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(truth == c) for c in CLASSES]
    drawn = np.empty(DRAWS)
    for k in range(DRAWS):
        rows = np.concatenate([rng.choice(g, len(g)) for g in groups])
        drawn[k] = metric(truth[rows], said[rows])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def mcnemar(what: str, truth: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> None:
    only_ours = int(((ours == truth) & (theirs != truth)).sum())
    only_theirs = int(((ours != truth) & (theirs == truth)).sum())
    p = stats.binomtest(only_ours, only_ours + only_theirs).pvalue
    print(f"\n{what}: only ours right {only_ours}, only theirs {only_theirs}; McNemar exact p = {p:.2g}")


def people(rows: pl.DataFrame) -> None:
    """How far people agree with each other: nobody can be asked to agree more with all of them."""
    told = [rows[f"label_{k}"].to_numpy() for k in (1, 2, 3)]
    pairs = list(combinations(told, 2))
    print("\nOne person against another, mean of three pairs")
    for label, metric in (("accuracy", accuracy), ("macro-F1", macro_f1), ("balanced accuracy", balanced)):
        both_ways = [(metric(a, b) + metric(b, a)) / 2 for a, b in pairs]
        print(f"  {label:<17} {np.mean(both_ways):.3f}")
    print(f"  Fleiss's kappa    {fleiss_kappa(np.stack(told, axis=1)):.3f}")


def fleiss_kappa(told: np.ndarray) -> float:
    counts = np.stack([(told == c).sum(axis=1) for c in CLASSES], axis=1)
    raters = told.shape[1]
    agree = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))
    chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return (float(agree.mean()) - chance) / (1 - chance)


if __name__ == "__main__":
    main()
