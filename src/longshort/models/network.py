"""The network: a member of the family over all coins, a head per horizon, and paths from the inputs around both.

It reads standardised rows and answers in volatility units; what a unit is worth in log returns is the caller's.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from longshort.base.learning import ModelSettings
from longshort.models.heads.catalog import head_named
from longshort.models.heads.head import Head
from longshort.models.networks.backbone import ChunkDropout, State
from longshort.models.networks.instance import backbone_of

LEAST_ROWS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Everything that shapes the network, and nothing about how it is trained."""

    inputs: int
    horizons: int
    model: ModelSettings
    coins: int = 1

    @property
    def head(self) -> Head:
        """What the outputs mean."""
        return head_named(self.model.head)


class Network(nn.Module):
    """Raw outputs per row and horizon, from a backbone's hidden state and the inputs."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        model = config.model
        inputs = config.inputs + model.coin_width
        self.outputs = config.horizons * config.head.width
        self.backbone = backbone_of(model, inputs)
        self.head = nn.Linear(self.backbone.width, self.outputs)
        self.skip = nn.Linear(inputs, self.outputs, bias=False)
        self.bend = _bend(self.backbone.width + inputs, model.readout, self.outputs)
        self.drop = ChunkDropout(model.dropout)
        self.coins = nn.Embedding(config.coins, model.coin_width) if model.coin_width else None
        with torch.no_grad():
            self.head.weight *= 0.1
            self.skip.weight.zero_()
            self.head.bias.zero_()
            if self.coins is not None:
                self.coins.weight.zero_()  # a coin that was never learnt from is like none

    def forward(
        self,
        window: Float[Tensor, "time batch feature"],
        state: State | None = None,
        coins: Int64[Tensor, " batch"] | None = None,
        unread: int = 0,
    ) -> tuple[Float[Tensor, "read batch horizon output"], State]:
        """Raw outputs per row after the first `unread`, which `config.head` reads, and the state after the last row."""
        window = self.embed(self.drop(window), coins)
        hidden, after = self.backbone(window, state)
        return self.read(self.drop(hidden)[unread:], window[unread:]), after

    def embed(
        self, window: Float[Tensor, "time batch feature"], coins: Int64[Tensor, " batch"] | None
    ) -> Float[Tensor, "time batch input"]:
        """Inputs, with what is learnt of each coin beside them where the study asks for it."""
        if self.coins is None:
            return window
        if coins is None:
            coins = torch.zeros(window.shape[1], dtype=torch.int64, device=window.device)
        return torch.cat([window, self.coins(coins).expand(len(window), -1, -1)], dim=2)

    def read(
        self, hidden: Float[Tensor, "time batch hidden"], window: Float[Tensor, "time batch input"]
    ) -> Float[Tensor, "time batch horizon output"]:
        """Raw outputs from hidden states and inputs; the same bits for one row as for thousands.

        A product of few rows takes another path through the processor than one of many, and rounds otherwise: so
        few rows are filled up.
        """
        times, batch = hidden.shape[:2]
        short = max(0, LEAST_ROWS - times * batch)
        rows, inputs = hidden.flatten(0, 1), window.flatten(0, 1)
        if short:
            rows, inputs = (nn.functional.pad(part, (0, 0, 0, short)) for part in (rows, inputs))
        return self.said(rows, inputs)[: times * batch].reshape(times, batch, self.config.horizons, -1)

    def said(
        self, hidden: Float[Tensor, "*row hidden"], window: Float[Tensor, "*row input"]
    ) -> Float[Tensor, "*row outputs"]:
        """All horizons' raw outputs side by side, of as many rows as there are: what an export traces."""
        raw = self.head(hidden) + self.skip(window)
        return raw if self.bend is None else raw + self.bend(torch.cat([window, hidden], dim=-1))


def _bend(inputs: int, readout: int, outputs: int) -> nn.Sequential | None:
    """One nonlinear layer from inputs and hidden state to the outputs: what trees see in a single row, in its way."""
    if not readout:
        return None
    last = nn.Linear(readout, outputs)
    with torch.no_grad():
        last.weight *= 0.1
        last.bias.zero_()
    return nn.Sequential(nn.Linear(inputs, readout), nn.SiLU(), last)
