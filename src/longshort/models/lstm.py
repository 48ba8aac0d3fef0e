"""The LSTM as a forecaster: several seeds, averaged in their parameters, each horizon from its own best weights."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float32

from longshort.base.settings import ModelSettings, TrainingSettings
from longshort.features.panel import Panel
from longshort.models.forecast import Forecast, StudentT
from longshort.models.forecaster import Fitted, ForecastStream, Past, volatility_over
from longshort.models.inputs import MARKS, Scaler
from longshort.models.memory import Rows, TwoStates, first_context_row, run
from longshort.models.network import Network, NetworkConfig, law
from longshort.models.shrink import mean_weight
from longshort.models.training import Member, fit_member

NAME = "LSTM"


@dataclass(frozen=True, slots=True)
class LSTMForecaster:
    """An ensemble of networks, one per seed."""

    horizons: tuple[int, ...]
    model: ModelSettings
    training: TrainingSettings
    name: str = NAME

    def fit(self, past: Past) -> Fitted:
        """Train every seed, one after the other; `longshort` itself trains them as parallel jobs."""
        torch.set_num_threads(1)
        scaler = Scaler.fit(past.panel, past.train)
        members = [fit_member(past, scaler, self.model, self.training, seed) for seed in self.model.seeds]
        return FittedLSTM.of(past, self.model, tuple(members))


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedLSTM:
    """Trained members and the scaler they share; all coins always run together at one width."""

    horizons: tuple[int, ...]
    model: ModelSettings
    scaler: Scaler
    members: tuple[Member, ...]
    mean_weights: tuple[float, ...]
    name: str = NAME

    @classmethod
    def of(cls, past: Past, model: ModelSettings, members: tuple[Member, ...]) -> "FittedLSTM":
        """Average members, and learn on the validation rows how much of their mean to believe."""
        horizons = past.targets.horizons
        scaler = Scaler.fit(past.panel, past.train)
        raw = cls(
            horizons=horizons, model=model, scaler=scaler, members=members, mean_weights=(1.0,) * len(horizons)
        )
        rows = slice(past.validation.start, past.validation.stop)
        mean = raw.predict(past.panel, past.validation).law.loc / volatility_over(past.panel[rows], horizons)
        came = past.scaled_targets()[rows]
        weights = [mean_weight(mean[:, :, k], came[:, :, k], horizon) for k, horizon in enumerate(horizons)]
        return replace(raw, mean_weights=tuple(weights))

    def predict(self, panel: Panel, rows: range) -> Forecast:
        """The forecasts of some rows; up to twice `restart_rows` rows before them are context."""
        torch.set_num_threads(1)
        begin = 0
        if rows.start < len(panel):
            earliest = first_context_row(int(panel.grid_row[rows.start]), self.model.restart_rows)
            begin = int(np.searchsorted(panel.grid_row, earliest))
        part = panel[begin : rows.stop]
        inputs = as_rows(self.scaler, part)
        wanted = range(rows.start - begin, rows.stop - begin)
        raws = [
            [run(network, inputs, wanted, self.model.restart_rows)[:, :, k] for k, network in enumerate(member)]
            for member in self.networks()
        ]
        return self.forecast(raws, part[wanted.start : wanted.stop])

    def start(self, panel: Panel) -> ForecastStream:
        """Warm states that go on where the panel ends."""
        return LSTMStream(self, panel)

    def networks(self) -> list[list[Network]]:
        """One network per member and horizon, ready to run."""
        return [[self._network(weights) for weights in member.weights] for member in self.members]

    def forecast(self, raws: list[list[Float32[np.ndarray, "time asset 3"]]], panel: Panel) -> Forecast:
        """Average location, log scale and log df over members, and give them the scale of log returns."""
        raw = np.stack([np.stack(member, axis=2) for member in raws])  # (member, time, asset, horizon, 3)
        loc, log_scale, df = (part.numpy().astype(np.float64) for part in law(torch.from_numpy(raw)))
        unit = volatility_over(panel, self.horizons)
        usable = panel.usable[:, :, None]
        student = StudentT(
            loc=np.where(usable, _average(loc) * np.asarray(self.mean_weights) * unit, np.nan),
            scale=np.where(usable, np.exp(_average(log_scale)) * unit, np.nan),
            df=np.where(usable, np.exp(_average(np.log(df))), np.nan),
        )
        return Forecast(
            model=self.name,
            closed_at=panel.closed_at,
            symbols=panel.symbols,
            horizons=self.horizons,
            law=student,
        )

    def _network(self, weights: dict[str, Float32[np.ndarray, "..."]]) -> Network:
        config = NetworkConfig(
            inputs=len(self.scaler.names) + MARKS,
            horizons=len(self.horizons),
            hidden=self.model.hidden,
            dropout=self.model.dropout,
        )
        network = Network(config)
        network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        return network.eval()


class LSTMStream:
    """The ensemble, fed one close at a time."""

    def __init__(self, fitted: FittedLSTM, panel: Panel) -> None:
        torch.set_num_threads(1)
        self._fitted = fitted
        rows = fitted.model.restart_rows
        begin = 0
        if len(panel):
            begin = int(np.searchsorted(panel.grid_row, first_context_row(int(panel.grid_row[-1]), rows)))
        history = as_rows(fitted.scaler, panel[begin:])
        self._states = [[TwoStates(network, rows) for network in member] for member in fitted.networks()]
        for member in self._states:
            for states in member:
                states.warm(history)

    def step(self, row: Panel) -> Forecast:
        """The forecast at the row after the last one seen."""
        inputs = as_rows(self._fitted.scaler, row)
        raws = [[states.step(inputs)[:, :, k] for k, states in enumerate(member)] for member in self._states]
        return self._fitted.forecast(raws, row)


def as_rows(scaler: Scaler, panel: Panel) -> Rows:
    """A panel as the network reads it."""
    return Rows(inputs=scaler.inputs(panel), grid_row=panel.grid_row, restart=panel.restart)


def _average(values: np.ndarray) -> np.ndarray:
    total = values[0]
    for member in values[1:]:  # in order: the same bits for one row as for many
        total = total + member
    return total / len(values)
