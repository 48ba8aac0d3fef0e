"""Where it fails: the gain over the hardest opponent by regime, time, coin and size of move, and the worst bars."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from longshort.study.case import Case
from longshort.study.evidence.gains import bars_text, hardest, house_test, listed, who
from longshort.study.evidence.residuals import memory_chart, memory_reading, memory_table, residual_memory
from longshort.study.evidence.splits import HINDSIGHT, Split, splits_of
from longshort.study.evidence.worst import worst_bars
from longshort.study.metrics import mean_loss
from longshort.study.section import Cell, Chart, Column, Section, Series, Table
from longshort.study.significance import LEVEL, TWO_SIDED_95, MeanTest, holm

KEY, TITLE = "failures", "Where does it fail?"
COLUMNS = (
    Column(name="horizon", kind="count", unit="bars"),
    Column(name="where"),
    Column(name="share", kind="percent", digits=1, meaning="of the scored cells"),
    Column(name="CRPS gain", kind="signed", unit="%", digits=2, meaning="of the opponent's CRPS there"),
    Column(name="±", kind="number", unit="%", digits=2, meaning="half of the 95 % interval"),
    Column(name="p CRPS", kind="p", meaning="one-sided: no gain"),
    Column(name="log-score gain", kind="signed", unit="nats", digits=4),
    Column(name="± nats", kind="number", unit="nats", digits=4),
    Column(name="p log score", kind="p", meaning="one-sided: no gain"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """The model's gain over an opponent in one group at one horizon, in % of CRPS and in nats."""

    horizon: int
    label: str
    share: float
    crps: MeanTest
    level: float
    log_score: MeanTest

    @property
    def percent(self) -> float:
        """What turns the CRPS gain into % of the opponent's."""
        return 100.0 / self.level if self.level > 0.0 else float("nan")


def section(case: Case) -> Section:
    """Gains by group with intervals, the worst bars with their context, and what the residuals remember."""
    rival = hardest(case)
    if case.model not in who(case, "crps") or rival is None:
        return Section(
            key=KEY, title=TITLE, reading="", missing="There is no second distribution to compare with."
        )
    splits = splits_of(case)
    gains = {split.key: gains_of(case, rival, split) for split in splits}
    memory = residual_memory(case)
    tables = [_table(split, gains[split.key]) for split in splits]
    charts = [_chart(split, gains[split.key]) for split in splits]
    return Section(
        key=KEY,
        title=TITLE,
        reading=f"Measured against {rival}. {_reading(gains)}{memory_reading(memory)}",
        tables=(*tables, worst_bars(case, rival), memory_table(memory)),
        charts=(*charts, memory_chart(memory)),
        notes=(
            "Intervals and p-values are those of single groups: one of twenty without a gain seems to have one.",
        ),
    )


def gains_of(case: Case, rival: str, split: Split) -> list[Gain]:
    """The tested gains of every group at every horizon."""
    mine, theirs = case.losses[case.model], case.losses[rival]
    found: list[Gain] = []
    for k, horizon in enumerate(case.forecast.horizons):
        crps = theirs["crps"][..., k] - mine["crps"][..., k]
        nats = theirs["log_score"][..., k] - mine["log_score"][..., k]
        scored = max(int(np.count_nonzero(np.isfinite(crps))), 1)
        for place, label in enumerate(split.labels):
            here = (split.codes[k] == place) & np.isfinite(crps)
            if here.any():
                found.append(
                    Gain(
                        horizon=horizon,
                        label=label,
                        share=np.count_nonzero(here) / scored,
                        crps=house_test(case, np.where(here, crps, np.nan), horizon),
                        level=mean_loss(np.where(here, theirs["crps"][..., k], np.nan)),
                        log_score=house_test(case, np.where(here, nats, np.nan), horizon),
                    )
                )
    return found


def _table(split: Split, gains: list[Gain]) -> Table:
    rows = tuple(_row(gain) for gain in gains)
    return Table(name=split.key, title=split.title, columns=COLUMNS, rows=rows, note=split.note)


def _row(gain: Gain) -> tuple[Cell, ...]:
    return (
        gain.horizon, gain.label, gain.share, gain.percent * gain.crps.mean, gain.percent * gain.crps.half_width,
        None if gain.crps.reason else gain.crps.p_value, gain.log_score.mean, gain.log_score.half_width,
        None if gain.log_score.reason else gain.log_score.p_value,
    )  # fmt: skip


def _chart(split: Split, gains: list[Gain]) -> Chart:
    horizons = dict.fromkeys(gain.horizon for gain in gains)
    lines = [_line(split, [gain for gain in gains if gain.horizon == horizon]) for horizon in horizons]
    first = [gain for gain in gains if gain.horizon == next(iter(horizons))]
    return Chart(
        name=split.key, title=split.title, kind="intervals", x_label="", y_label="CRPS gain, %",
        series=tuple(lines), labels=split.labels, x_kind="label", reference=0.0, reading=_most_and_least(first),
    )  # fmt: skip


def _line(split: Split, gains: list[Gain]) -> Series:
    at = [float(split.labels.index(gain.label)) for gain in gains]
    means = [gain.percent * gain.crps.mean for gain in gains]
    widths = [gain.percent * gain.crps.half_width for gain in gains]
    return Series(
        name=bars_text(gains[0].horizon),
        x=tuple(at),
        y=tuple(means),
        low=tuple(mean - width for mean, width in zip(means, widths, strict=True)),
        high=tuple(mean + width for mean, width in zip(means, widths, strict=True)),
    )


def _most_and_least(gains: list[Gain]) -> str:
    ordered = sorted(gains, key=lambda gain: gain.percent * gain.crps.mean)
    lost = [gain.label for gain in gains if gain.crps.mean + gain.crps.half_width < 0.0]
    told = f"At {bars_text(gains[0].horizon)} it gains most in {_told(ordered[-1])} and least in {_told(ordered[0])}"
    return told + (f"; it surely loses in {listed(lost)}." if lost else "; it surely loses in none.")


def _told(gain: Gain) -> str:
    return f"{gain.label} ({gain.percent * gain.crps.mean:+.2f} %)"


def _reading(gains: dict[str, list[Gain]]) -> str:
    """Per horizon: how many groups gain or lose beyond doubt, corrected for their number, and which lose."""
    honest = [gain for key, found in gains.items() if key != HINDSIGHT for gain in found]
    told: list[str] = []
    for horizon in dict.fromkeys(gain.horizon for gain in honest):
        here = [gain for gain in honest if gain.horizon == horizon]
        won = sum(p < LEVEL for p in holm([_one_sided(gain.crps) for gain in here]))
        lost = [
            gain
            for gain, p in zip(here, holm([_one_sided(gain.crps, sign=-1.0) for gain in here]), strict=True)
            if p < LEVEL
        ]
        worst = min(here, key=lambda gain: gain.percent * gain.crps.mean)
        losers = f"loses beyond doubt in {listed([_told(g) for g in lost])}" if lost else (
            f"loses beyond doubt in none (least: {_told(worst)})"
        )  # fmt: skip
        told.append(
            f"At {bars_text(horizon)} it gains beyond doubt in {won} of {len(here)} groups and {losers}."
        )
    return " ".join([*told, *_unequal({key: found for key, found in gains.items() if key != HINDSIGHT})])


def _unequal(gains: dict[str, list[Gain]]) -> list[str]:
    """Which way of taking the shortest horizon apart shows gains that differ most, and whether chance would."""
    tried: list[tuple[float, list[Gain]]] = []
    for found in gains.values():
        here = [g for g in found if g.horizon == found[0].horizon and g.crps.half_width > 0.0]
        if len(here) > 1:
            means = np.array([g.percent * g.crps.mean for g in here])
            weights = (np.array([g.percent * g.crps.half_width for g in here]) / TWO_SIDED_95) ** -2.0
            spread = float((weights * (means - (weights * means).sum() / weights.sum()) ** 2).sum())
            tried.append((float(special.chdtrc(len(here) - 1, spread)), here))
    if not tried:
        return []
    p_value, here = min(tried, key=lambda part: part[0])
    ordered = sorted(here, key=lambda g: g.percent * g.crps.mean)
    beyond = "more than" if p_value * len(tried) < LEVEL else "no more than"
    return [
        f"Groups differ most between {_told(ordered[-1])} and {_told(ordered[0])}: {beyond} luck makes of equal gains."
    ]


def _one_sided(test: MeanTest, *, sign: float = 1.0) -> float:
    """From the interval, which is the wider of the house test's two; 1 without a test."""
    if test.reason or not test.half_width > 0.0:
        return 1.0
    return float(special.ndtr(-sign * TWO_SIDED_95 * test.mean / test.half_width))
