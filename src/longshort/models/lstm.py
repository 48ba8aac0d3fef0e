"""The LSTM as a forecaster: several seeds, averaged in their parameters, each horizon from its own best weights."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

from longshort.base.learning import ModelSettings, TrainingSettings
from longshort.features.panel import Panel
from longshort.models.anchor import Anchor, fit_anchor, mean_share, network_name
from longshort.models.forecast import Forecast, Stance
from longshort.models.forecaster import Fitted, ForecastStream, Past, volatility_over
from longshort.models.heads.catalog import head_named
from longshort.models.heads.head import Head, MemberRaw, Reading, average
from longshort.models.heads.position import UtilityHead
from longshort.models.inputs import Scaler
from longshort.models.memory import Rows, TwoStates, context_start, run
from longshort.models.network import Network, NetworkConfig
from longshort.models.opponents.catalog import NETWORK
from longshort.models.shrink import mean_weight
from longshort.models.training.fitting import Member, fit_member

NAME = NETWORK
PIECE_CELLS = 200_000  # bars of one coin that are forecast at a time
AT_ONCE = 2_048  # rows at the least, lest a piece be mostly context


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
        members = [fit_member(past, self.model, self.training, seed) for seed in self.model.seeds]
        return FittedLSTM.of(past, self.model, tuple(members), fit_anchor(past, self.model))


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedLSTM:
    """Trained members, the scaler they share, and the simpler model that their law is averaged with.

    The anchor's share in the log scale is `anchor_share`: networks find what it cannot see, it errs less where they
    have seen little. All coins always run together at one width.
    """

    horizons: tuple[int, ...]
    model: ModelSettings
    scaler: Scaler
    members: tuple[Member, ...]
    anchor: Anchor
    mean_weights: tuple[float, ...]
    coins: int
    name: str = NAME

    @classmethod
    def of(
        cls, past: Past, model: ModelSettings, members: tuple[Member, ...], anchor: Anchor
    ) -> "FittedLSTM":
        """Average members, and learn on the validation rows how much of their mean to believe."""
        horizons = past.targets.horizons
        came = past.scaled_targets()[past.validation.start : past.validation.stop]
        mean = average(np.stack([member.validation_mean for member in members])).astype(np.float64)
        usable = past.panel.usable[past.validation.start : past.validation.stop, :, None]
        mean = np.where(usable, mean, np.nan)
        weights = [mean_weight(mean[:, :, k], came[:, :, k], horizon) for k, horizon in enumerate(horizons)]
        return cls(
            horizons=horizons,
            model=model,
            scaler=Scaler.fit(past.panel, past.train, past.names),
            members=members,
            anchor=anchor,
            mean_weights=tuple(weights),
            coins=len(past.panel.symbols),
            name=network_name(model),
        )

    def predict(self, panel: Panel, rows: range) -> Forecast:
        """The forecasts of some rows; up to twice `restart_rows` rows before them are context."""
        torch.set_num_threads(1)
        size = max(AT_ONCE, PIECE_CELLS // len(panel.symbols))
        starts = range(rows.start, rows.stop, size) if len(rows) else (rows.start,)
        first, *later = (self._piece(panel, range(start, min(start + size, rows.stop))) for start in starts)
        return first.join(*later) if later else first

    def _piece(self, panel: Panel, rows: range) -> Forecast:
        """The forecasts of rows whose inputs and outputs are held all at once, by every network."""
        begin = (
            context_start(panel.grid_row[: rows.start + 1], self.model.restart_rows)
            if len(rows)
            else rows.start
        )
        part = panel[begin : rows.stop]
        inputs = as_rows(self.scaler, part)
        wanted = range(rows.start - begin, rows.stop - begin)
        outputs = [run(network, inputs, wanted, self.model.restart_rows) for network in self.networks()]
        return self.forecast(outputs, part[wanted.start : wanted.stop])

    def start(self, panel: Panel) -> ForecastStream:
        """Warm states that go on where the panel ends."""
        return LSTMStream(self, panel)

    def networks(self) -> list[Network]:
        """The different networks: horizons of one seed that stopped at the same step share theirs."""
        return [self._network(member.weights[k]) for member, k in self._distinct()]

    def forecast(
        self, outputs: list[Float32[np.ndarray, "time asset horizon output"]], panel: Panel
    ) -> Forecast:
        """Average location, log scale and log df over members, and give them the scale of log returns."""
        home = {(member.seed, member.curve.best_step[k]): i for i, (member, k) in enumerate(self._distinct())}
        members = [
            np.stack(
                [outputs[home[member.seed, step]][:, :, k] for k, step in enumerate(member.curve.best_step)],
                axis=2,
            )
            for member in self.members
        ]
        raw = np.stack(members)  # (member, time, asset, horizon, output)
        reading = Reading(
            unit=np.where(panel.usable[:, :, None], volatility_over(panel, self.horizons), np.nan),
            anchor=self.anchor.law(panel),
            share=self.model.anchor_share,
            mean_share=mean_share(self.model),
            mean_weights=self.mean_weights,
        )
        return Forecast(
            model=self.name,
            closed_at=panel.closed_at,
            symbols=panel.symbols,
            horizons=self.horizons,
            law=head_named(self.model.head).law(raw, reading),
            stance=_stance(head_named(self.model.head), raw, panel),
        )

    def _distinct(self) -> list[tuple[Member, int]]:
        return [
            (member, k)
            for member in self.members
            for k, step in enumerate(member.curve.best_step)
            if step not in member.curve.best_step[:k]
        ]

    def _network(self, weights: dict[str, Float32[np.ndarray, "..."]]) -> Network:
        config = NetworkConfig(
            inputs=self.scaler.width,
            horizons=len(self.horizons),
            coins=self.coins,
            model=self.model,
        )
        network = Network(config)
        network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        return network.eval()


def _stance(head: Head, raw: MemberRaw, panel: Panel) -> Stance | None:
    """What a head that learns positions says is to be held."""
    if not isinstance(head, UtilityHead):
        return None
    zones, known = head.zones(raw), panel.usable
    return Stance(
        low=np.where(known, zones.low, np.nan),
        high=np.where(known, zones.high, np.nan),
        volatility=np.where(known, panel.volatility, np.nan),
    )


class LSTMStream:
    """The ensemble, fed one close at a time."""

    def __init__(self, fitted: FittedLSTM, panel: Panel) -> None:
        torch.set_num_threads(1)
        self._fitted = fitted
        rows = fitted.model.restart_rows
        history = panel[context_start(panel.grid_row, rows) if len(panel) else 0 :]
        self._states = [TwoStates(network, rows) for network in fitted.networks()]
        for states in self._states:
            states.extend(as_rows(fitted.scaler, history))

    def step(self, row: Panel) -> Forecast:
        """The forecast at the row after the last one seen."""
        inputs = as_rows(self._fitted.scaler, row)
        return self._fitted.forecast([states.extend(inputs) for states in self._states], row)


def as_rows(scaler: Scaler, panel: Panel) -> Rows:
    """A panel as the network reads it."""
    return Rows(inputs=scaler.inputs(panel), grid_row=panel.grid_row, restart=panel.restart)
