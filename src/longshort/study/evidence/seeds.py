"""How much is luck and how much is data: each seed alone, and each fold beside the length of its training.

The seeds' mean and spread are told, never the best of them. Nothing is fitted again.
"""

from dataclasses import dataclass, replace

import numpy as np

from longshort.models.forecast import Values
from longshort.models.lstm import FittedLSTM
from longshort.study.case import Case
from longshort.study.evidence.gains import bars_text, hardest, house_test, listed, p_cell, who
from longshort.study.folds import Fold
from longshort.study.metrics import mean_loss
from longshort.study.section import Cell, Chart, Column, Section, Series, Table

KEY, TITLE = "seeds", "How much depends on the seed, and on the length of training?"
MOST_CELLS = 200_000  # rows x coins x seeds that are forecast again: about five seconds
SEED_COLUMNS = (
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="seed"),
    Column(name="CRPS gain", kind="signed", unit="%", digits=3),
    Column(name="log-score gain", kind="signed", unit="nats", digits=4),
    Column(name="hits", kind="percent", digits=2, meaning="share of directions that were right"),
)
FOLD_COLUMNS = (
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="fold", kind="count"),
    Column(name="training", kind="count", unit="bars"),
    Column(name="tested from", kind="instant"),
    Column(name="CRPS gain", kind="signed", unit="%", digits=2),
    Column(name="±", kind="number", unit="%", digits=2, meaning="half of the 95 % interval"),
    Column(name="p", kind="p", meaning="one-sided: no gain"),
    Column(name="log-score gain", kind="signed", unit="nats", digits=4),
    Column(name="± nats", kind="number", unit="nats", digits=4),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """The losses of one seed by itself, or of all averaged, on the same rows; NaN elsewhere."""

    name: str
    crps: Values
    log_score: Values
    miss: Values


def section(case: Case) -> Section:
    """The spread over seeds, and the gain of each fold, against the hardest opponent."""
    rival = hardest(case)
    if case.model not in who(case, "crps") or rival is None:
        return Section(
            key=KEY, title=TITLE, reading="", missing="There is no second distribution to compare with."
        )
    folds = _fold_rows(case, rival)
    alone, folds_used = seeds_alone(case)
    tables = [
        Table(
            name="folds", title="Gain by fold", columns=FOLD_COLUMNS, rows=tuple(folds), note=_fold_note(case)
        )
    ]
    if alone:
        note = f"Each seed alone against {rival}, on the test rows of {folds_used} of {len(case.walk.folds)} folds."
        rows = _seed_rows(case, rival, alone)
        tables.insert(0, Table(name="seeds", title="Seeds alone", columns=SEED_COLUMNS, rows=rows, note=note))
    reading = f"Measured against {rival}. {_seed_reading(case, rival, alone)} {_fold_reading(folds)}"
    return Section(key=KEY, title=TITLE, reading=reading, tables=tuple(tables), charts=(_chart(folds),))


def seeds_alone(case: Case) -> tuple[list[Alone], int]:
    """Every member's own losses, and those of all together on the same rows; of the last folds, as time allows.

    A member alone keeps the ensemble's weights of its mean. Empty for a model without several members.
    """
    fitted = [models.get(case.model) for models in case.walk.fitted]
    networks = [one for one in fitted if isinstance(one, FittedLSTM)]
    if not networks or len(networks) < len(fitted) or len(networks[0].members) < 2:
        return [], 0
    parts = _affordable(case, list(zip(case.walk.folds, networks, strict=True)))
    together = _shown(case, parts)
    found = [_alone(case, parts, place) for place in range(len(networks[0].members))]
    mine = case.losses[case.model]
    whole = Alone(
        name="all together",
        crps=np.where(together, mine["crps"], np.nan),
        log_score=np.where(together, mine["log_score"], np.nan),
        miss=np.where(together, mine["miss"], np.nan),
    )
    return [*found, whole], len(parts)


def _affordable(case: Case, parts: list[tuple[Fold, FittedLSTM]]) -> list[tuple[Fold, FittedLSTM]]:
    per_row = len(case.forecast.symbols) * len(parts[0][1].members)
    kept, cells = [parts[-1]], len(parts[-1][0].test) * per_row
    for fold, network in reversed(parts[:-1]):
        cells += len(fold.test) * per_row
        if cells > MOST_CELLS:
            break
        kept.insert(0, (fold, network))
    return kept


def _shown(case: Case, parts: list[tuple[Fold, FittedLSTM]]) -> np.ndarray:
    shown = np.zeros((len(case.truth), 1, 1), dtype=np.bool_)
    for fold, _ in parts:
        shown[_places(case, fold)] = True
    return shown


def _alone(case: Case, parts: list[tuple[Fold, FittedLSTM]], place: int) -> Alone:
    shape = case.truth.outcome.shape
    crps, log_score, miss = (np.full(shape, np.nan) for _ in range(3))
    for fold, network in parts:
        rows = _places(case, fold)
        law = replace(network, members=(network.members[place],)).predict(case.market.panel, fold.test).law
        came = case.truth.outcome[rows]
        crps[rows], log_score[rows] = law.crps(came), -law.log_density(came)
        lean = law.mean()
        stated = np.isfinite(came) & np.isfinite(lean) & (came != 0.0) & (lean != 0.0)
        miss[rows] = np.where(stated, (came > 0.0) != (lean > 0.0), np.nan)
    seed = parts[0][1].members[place].seed
    return Alone(name=str(seed), crps=crps, log_score=log_score, miss=miss)


def _places(case: Case, fold: Fold) -> slice:
    first = case.walk.tested.start
    return slice(fold.test.start - first, fold.test.stop - first)


def _gains(case: Case, rival: str, one: Alone, k: int) -> tuple[float, float, float]:
    """In % of the rival's CRPS, in nats, and the hit rate."""
    theirs = case.losses[rival]
    crps = theirs["crps"][..., k]
    same = np.where(np.isnan(one.crps[..., k]), np.nan, crps)
    gain = mean_loss(same - one.crps[..., k])
    nats = mean_loss(theirs["log_score"][..., k] - one.log_score[..., k])
    return 100.0 * gain / mean_loss(same), nats, 1.0 - mean_loss(one.miss[..., k])


def _seed_rows(case: Case, rival: str, alone: list[Alone]) -> tuple[tuple[Cell, ...], ...]:
    rows: list[tuple[Cell, ...]] = []
    for k, horizon in enumerate(case.forecast.horizons):
        found = np.array([_gains(case, rival, one, k) for one in alone])
        single = found[:-1]
        told = [(one.name, values) for one, values in zip(alone[:-1], single, strict=True)]
        told += [("mean of seeds", single.mean(axis=0)), ("spread (std)", single.std(axis=0, ddof=1))]
        told += [(alone[-1].name, found[-1])]
        rows += [(horizon, name, *(float(value) for value in values)) for name, values in told]
    return tuple(rows)


def _seed_reading(case: Case, rival: str, alone: list[Alone]) -> str:
    if not alone:
        return "The model has no seeds to take apart: it is one fit per fold."
    told: list[str] = []
    for k, horizon in enumerate(case.forecast.horizons):
        found = [_gains(case, rival, one, k)[0] for one in alone]
        mean, spread = float(np.mean(found[:-1])), float(np.std(found[:-1], ddof=1))
        told.append(f"{mean:+.2f} ± {spread:.2f} % at {bars_text(horizon)} ({found[-1]:+.2f} % together)")
    return f"Seeds alone gain, mean and standard deviation over {len(alone) - 1}: {listed(told)}."


def _fold_rows(case: Case, rival: str) -> list[tuple[Cell, ...]]:
    mine, theirs = case.losses[case.model], case.losses[rival]
    rows: list[tuple[Cell, ...]] = []
    for k, horizon in enumerate(case.forecast.horizons):
        for number, fold in enumerate(case.walk.folds):
            here = np.zeros((len(case.truth), 1), dtype=np.bool_)
            here[_places(case, fold)] = True
            level = np.where(here & np.isfinite(mine["crps"][..., k]), theirs["crps"][..., k], np.nan)
            crps = house_test(case, level - mine["crps"][..., k], horizon)
            gap = theirs["log_score"][..., k] - mine["log_score"][..., k]
            nats = house_test(case, np.where(here, gap, np.nan), horizon)
            percent = 100.0 / mean_loss(level)
            rows.append(
                (
                    horizon, number + 1, len(fold.train), int(case.market.bars.closed_at[fold.test.start]),
                    percent * crps.mean, percent * crps.half_width, p_cell(crps), nats.mean, nats.half_width,
                )
            )  # fmt: skip
    return rows


def _fold_note(case: Case) -> str:
    spans = [len(fold.train) for fold in case.walk.folds]
    if len(set(spans)) < 2:
        return "Every fold trains on as many bars: nothing is said about the length of training."
    return "Later folds train longer, but are also tested on another time: no more than a hint."


def _chart(rows: list[tuple[Cell, ...]]) -> Chart:
    lines: list[Series] = []
    for horizon in dict.fromkeys(row[0] for row in rows):
        mine = np.array([[row[2], row[4], row[5]] for row in rows if row[0] == horizon], dtype=np.float64)
        lines.append(
            Series(
                name=bars_text(float(horizon or 0)),
                x=tuple(mine[:, 0].tolist()),
                y=tuple(mine[:, 1].tolist()),
                low=tuple((mine[:, 1] - mine[:, 2]).tolist()),
                high=tuple((mine[:, 1] + mine[:, 2]).tolist()),
            )
        )
    return Chart(
        name="gain_by_training", title="Gain by length of training", kind="dots", x_label="training bars",
        y_label="CRPS gain, %", series=tuple(lines), reference=0.0, reading=_fold_reading(rows),
    )  # fmt: skip


def _fold_reading(rows: list[tuple[Cell, ...]]) -> str:
    horizon = rows[0][0]
    gains = np.array([row[4] for row in rows if row[0] == horizon], dtype=np.float64)
    above = int(np.count_nonzero(gains > 0.0))
    return (
        f"At {bars_text(float(horizon or 0))} the gain is above zero in {above} of {len(gains)} folds, from "
        f"{np.nanmin(gains):+.2f} % to {np.nanmax(gains):+.2f} %."
    )
