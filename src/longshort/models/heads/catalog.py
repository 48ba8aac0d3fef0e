"""Heads by the word that a study writes as `[model] head`."""

from importlib import import_module
from types import MappingProxyType

from longshort.base.errors import StudyError
from longshort.base.instrument import Costs
from longshort.base.tables import nearest
from longshort.models.heads.head import Head

HEADS = MappingProxyType(
    {
        "student-t": "student_t.StudentTHead",
        "skewed-t": "skewed_t.SkewedTHead",
        "mixture": "mixture.MixtureHead",
        "quantiles": "quantiles.QuantilesHead",
        "crps": "crps.CRPSHead",
        "direction": "direction.DirectionHead",
        "volatility": "volatility.VolatilityHead",
        "mae": "point.MAEHead",
        "huber": "point.HuberHead",
        "position-utility": "position.UtilityHead",
        "position-sharpe": "position.SharpeHead",
    }
)


POSITIONS = ("position-utility", "position-sharpe")  # learn what to hold, and need to know what that costs


def head_named(key: str, costs: Costs | None = None) -> Head:
    """The head of that word, with the costs that its loss counts; raise `StudyError` where there is none."""
    if key not in HEADS:
        raise StudyError(f"model.head is {key!r}, which there is not.", remedy=nearest(key, list(HEADS)))
    module, _, name = HEADS[key].rpartition(".")
    head = getattr(import_module(f"longshort.models.heads.{module}"), name)
    return head(costs=costs or Costs()) if key in POSITIONS else head()
