"""The network: one LSTM over all coins, a Student-t head per horizon, and a linear path around both.

It reads standardised rows and answers in volatility units; what a unit is worth in log returns is the caller's.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from longshort.models.scale import MIN_DF

State = tuple[Tensor, Tensor]
START_DF = 4.0
LEAST_ROWS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Everything that shapes the network, and nothing about how it is trained."""

    inputs: int
    horizons: int
    hidden: int = 48
    dropout: float = 0.25


class ChunkDropout(nn.Module):
    """Dropout whose mask is drawn once per chunk and kept over time: Gal and Ghahramani (2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Float[Tensor, "time batch channel"]) -> Float[Tensor, "time batch channel"]:
        """The values, in training with a share of the channels of each chunk set to zero."""
        if not self.training or self.rate == 0.0:
            return values
        keep = torch.empty_like(values[:1]).bernoulli_(1.0 - self.rate)
        return values * (keep / (1.0 - self.rate))


class Network(nn.Module):
    """Location, log scale and log degrees of freedom per horizon, from an LSTM's hidden state and the inputs."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.lstm = nn.LSTM(config.inputs, config.hidden)
        self.head = nn.Linear(config.hidden, 3 * config.horizons)
        self.skip = nn.Linear(config.inputs, 3 * config.horizons, bias=False)
        self.drop = ChunkDropout(config.dropout)
        with torch.no_grad():
            for name, weight in self.lstm.named_parameters():
                if "bias_hh" in name:
                    weight[config.hidden : 2 * config.hidden] = (
                        1.0  # remember at first: Jozefowicz et al. (2015)
                    )
            self.head.weight *= 0.1
            self.skip.weight.zero_()
            self.head.bias.zero_()

    def forward(
        self, window: Float[Tensor, "time batch feature"], state: State | None = None
    ) -> tuple[Float[Tensor, "time batch horizon 3"], State]:
        """Raw outputs per row (see `law`) and the state after the last row."""
        window = self.drop(window)
        hidden, after = self.lstm(window, state)  # (time, batch, hidden)
        return self.read(self.drop(hidden), window), after

    def read(
        self, hidden: Float[Tensor, "time batch hidden"], window: Float[Tensor, "time batch feature"]
    ) -> Float[Tensor, "time batch horizon 3"]:
        """Raw outputs from hidden states and inputs; the same bits for one row as for thousands.

        A product of few rows takes another path through the processor than one of many, and rounds otherwise: so
        few rows are filled up.
        """
        times, batch = hidden.shape[:2]
        short = max(0, LEAST_ROWS - times * batch)
        rows = nn.functional.pad(hidden.flatten(0, 1), (0, 0, 0, short))
        inputs = nn.functional.pad(window.flatten(0, 1), (0, 0, 0, short))
        raw = (self.head(rows) + self.skip(inputs))[: times * batch]
        return raw.reshape(times, batch, self.config.horizons, 3)


def law(raw: Float[Tensor, "*cell 3"]) -> tuple[Tensor, Tensor, Tensor]:
    """Location, log scale and degrees of freedom (above 2) in volatility units, of raw outputs."""
    loc, log_scale, raw_df = raw.unbind(-1)
    return loc, log_scale, MIN_DF + (START_DF - MIN_DF) * torch.exp(raw_df.clamp(-3.0, 3.0))


def negative_log_density(
    raw: Float[Tensor, "*cell 3"], target: Float[Tensor, "*cell"]
) -> Float[Tensor, "*cell"]:
    """Minus the log density of a Student-t, in nats; constants in the target's unit left in."""
    loc, log_scale, df = law(raw)
    z = (target - loc) * torch.exp(-log_scale)
    half = 0.5 * (df + 1.0)
    norm = torch.lgamma(half) - torch.lgamma(0.5 * df) - 0.5 * torch.log(df * torch.pi)
    return log_scale + half * torch.log1p(z * z / df) - norm
