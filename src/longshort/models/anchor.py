"""The simpler model that a network's law is averaged with: HAR, or the trees that are hardest to beat.

What a forecast rests on must also be beaten: the anchor is always among the opponents.
"""

from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from longshort.base.files import digest
from longshort.base.learning import ModelSettings
from longshort.features.panel import Panel
from longshort.models.forecast import StudentT
from longshort.models.forecaster import Forecaster, Past
from longshort.models.networks.catalog import kind_of
from longshort.models.opponents.boosting import NAME as TREES
from longshort.models.opponents.boosting import FittedLightGBM, Head, LightGBM
from longshort.models.opponents.scale import HAR, FittedScale, ScaleModel, har

NAMES = MappingProxyType({"har": HAR, "lightgbm": TREES})  # what opponents of the kind are called


@runtime_checkable
class Anchor(Protocol):
    """A fitted model whose law at a row rests on that row alone."""

    def law(self, part: Panel) -> StudentT:
        """The law at every row of a panel."""
        ...


def anchor_model(model: ModelSettings, horizons: tuple[int, ...]) -> Forecaster:
    """The anchor that a study asks for, not fitted yet."""
    return LightGBM(horizons) if model.anchor == "lightgbm" else ScaleModel(HAR, horizons, har)


def fit_anchor(past: Past, model: ModelSettings) -> Anchor:
    """Fit it on the rows that the networks learn from."""
    fitted = anchor_model(model, past.targets.horizons).fit(past)
    assert isinstance(fitted, FittedScale | FittedLightGBM)
    return fitted


def network_name(model: ModelSettings) -> str:
    """What reports call a study's network: what it rests on is part of its name, but for HAR."""
    own = kind_of(model).name
    return own if model.anchor == "har" else f"{own} + {NAMES[model.anchor]}"


def mean_share(model: ModelSettings) -> float:
    """The anchor's share in the location: HAR states no mean, it has none."""
    return 0.0 if model.anchor == "har" else model.anchor_share


def written(anchor: Anchor) -> dict[str, Any]:
    """An anchor as plain values, for a bundle."""
    if isinstance(anchor, FittedLightGBM):
        heads = [
            {"scale": h.scale, "mean": h.mean, "log_scale": h.log_scale, "df": h.df} for h in anchor.heads
        ]
        return {"har": written(anchor.anchor)["har"], "features": list(anchor.features), "trees": heads}
    assert isinstance(anchor, FittedScale)
    return {"har": {"beta": anchor.beta.tolist(), "df": anchor.df.tolist()}}


def read(plain: dict[str, Any], horizons: tuple[int, ...]) -> Anchor:
    """The anchor that was written."""
    base = FittedScale(HAR, horizons, har, np.array(plain["har"]["beta"]), np.array(plain["har"]["df"]))
    if "trees" not in plain:
        return base
    heads = tuple(Head(**trees) for trees in plain["trees"])
    features = tuple(plain["features"])
    return FittedLightGBM(name=TREES, horizons=horizons, features=features, anchor=base, heads=heads)


def numbers(anchor: Anchor) -> dict[str, Float64[np.ndarray, "..."]]:
    """What was fitted, by name, for comparing two fits."""
    if isinstance(anchor, FittedLightGBM):
        trees = [part for head in anchor.heads for part in (head.scale, head.mean)]
        size = np.array([float(int(digest(part), 16) % 2**52) for part in trees])
        rest = np.array([(head.log_scale, head.df) for head in anchor.heads])
        return {**numbers(anchor.anchor), "trees": size, "constants": rest}
    assert isinstance(anchor, FittedScale)
    return {"beta": anchor.beta, "df": anchor.df}
