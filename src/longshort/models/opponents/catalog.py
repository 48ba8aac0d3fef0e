"""Whom a model has to beat: every forecaster that needs no network, by the key that a study writes.

Those without which no result means anything are in every evaluation; a study names the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from longshort.base.errors import StudyError
from longshort.base.settings import Study
from longshort.base.tables import nearest
from longshort.models.anchor import network_name
from longshort.models.forecaster import Forecaster
from longshort.models.networks.catalog import GRAPH, kind_of
from longshort.models.opponents.naive import Drift, PreviousValue, SeasonalNaive
from longshort.models.opponents.scale import EWMA, EXPANDING, HAR, ScaleModel, ewma, expanding, har

Horizons = tuple[int, ...]
ALL = "all"
NETWORK = "LSTM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opponent:
    """A forecaster by `key` (in a study) and `name` (in reports); `origins` says at how many rows it speaks.

    `forced` ones can not be left out. `seconds` is roughly what a fold of nine coins takes one processor, so that the
    long ones begin first.
    """

    key: str
    name: str
    make: Callable[[Horizons], Forecaster]
    summary: str
    forced: bool = False
    origins: str = "every bar"
    seconds: float = 1.0


def _late(module: str, name: str) -> Callable[[Horizons], Forecaster]:
    """A class of one of our modules, imported when it is needed: some bring heavy libraries along."""

    def make(horizons: Horizons) -> Forecaster:
        return getattr(import_module(f"longshort.models.opponents.{module}"), name)(horizons)

    return make


DAILY = "every 24th bar"
OPPONENTS = (
    Opponent(key="naive", name="previous value", make=PreviousValue, forced=True, summary="the price stays"),
    Opponent(
        key="drift", name="drift", make=Drift, summary="the mean return of training goes on", forced=True
    ),
    Opponent(
        key="seasonal",
        name="seasonal naive",
        make=SeasonalNaive,
        forced=True,
        summary="the hours of yesterday repeat",
    ),
    Opponent(
        key="expanding",
        name=EXPANDING,
        make=lambda h: ScaleModel(EXPANDING, h, expanding),
        forced=True,
        summary="volatility since the first bar, Student-t",
    ),
    Opponent(
        key="ewma",
        name=EWMA,
        make=lambda h: ScaleModel(EWMA, h, ewma),
        forced=True,
        summary="exponentially weighted volatility, Student-t",
    ),
    Opponent(
        key="har",
        name=HAR,
        make=lambda h: ScaleModel(HAR, h, har),
        forced=True,
        summary="log ranges of hour, day, week, month; hour of day",
    ),
    Opponent(
        key="ridge",
        name="ridge",
        make=_late("linear", "Ridge"),
        summary="linear in every feature that the network reads",
    ),
    Opponent(
        key="dlinear",
        name="DLinear",
        make=_late("linear", "DLinear"),
        summary="trend and remainder of past returns, linear",
    ),
    Opponent(
        key="garch",
        name="GARCH-t",
        make=_late("garch", "GARCH"),
        summary="GARCH(1,1), one fit per coin",
        seconds=10.0,
    ),
    Opponent(
        key="gjr-garch",
        name="GJR-GARCH-t",
        make=_late("garch", "GJRGARCH"),
        summary="GARCH with leverage, one fit per coin",
        seconds=12.0,
    ),
    Opponent(
        key="lightgbm",
        name="LightGBM",
        make=_late("boosting", "LightGBM"),
        summary="boosted trees on HAR's residual scale",
        seconds=30.0,
    ),
    Opponent(
        key="arima",
        name="AutoARIMA",
        make=_late("automatic", "AutoARIMA"),
        summary="one per coin, refitted weekly on 90 days",
        origins=DAILY,
        seconds=60.0,
    ),
    Opponent(
        key="ets",
        name="AutoETS",
        make=_late("automatic", "AutoETS"),
        summary="one per coin, refitted weekly on 90 days",
        origins=DAILY,
        seconds=40.0,
    ),
    Opponent(
        key="theta",
        name="Theta",
        make=_late("automatic", "Theta"),
        summary="one per coin, refitted weekly on 90 days",
        origins=DAILY,
        seconds=40.0,
    ),
    Opponent(
        key="prophet",
        name="Prophet",
        make=_late("prophet", "Prophet"),
        summary="one per coin, refitted weekly on 90 days",
        origins=DAILY,
        seconds=80.0,
    ),
)


def find_opponents(keys: Sequence[str]) -> tuple[Opponent, ...]:
    """The forced ones and those of a study's list, each once, in the order of the catalog; raise `StudyError`.

    >>> [o.key for o in find_opponents(["garch"])]
    ['naive', 'drift', 'seasonal', 'expanding', 'ewma', 'har', 'garch']
    """
    known = [opponent.key for opponent in OPPONENTS]
    for key in keys:
        if key not in (*known, ALL):
            raise StudyError(
                f"validation.opponents names {key!r}, which there is not.", remedy=nearest(key, [*known, ALL])
            )
    return tuple(o for o in OPPONENTS if o.forced or o.key in keys or ALL in keys)


def model_of(study: Study) -> Forecaster | None:
    """What a study judges and trades in place of a network, speaking at every bar; None: a network."""
    if study.model.kind == "prophet":
        from longshort.models.opponents.prophet import Prophet

        return Prophet(study.target.horizons, every=1)
    if study.model.kind.startswith(GRAPH):
        from longshort.models.onnx.forecaster import graph_model

        return graph_model(study)
    kind_of(study.model)
    return None


def model_name(study: Study) -> str:
    """What reports call the forecaster that a study judges."""
    model = model_of(study)
    return network_name(study.model) if model is None else model.name


def opponent_named(name: str) -> Opponent:
    """The opponent that reports call so."""
    return next(opponent for opponent in OPPONENTS if opponent.name == name)
