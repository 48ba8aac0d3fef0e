"""The sections of a study that shape a network and its training."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from longshort.base.instrument import Costs


class Section(BaseModel):
    """One table of the study file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSettings(Section):
    """Which network, its shape, what it states, how many are averaged, and with what their scale is shared.

    `window` is how many rows attention or a convolution looks back, `readout` the size of the nonlinear layer that
    reads inputs and hidden state beside a linear one, `coin_width` that of what is learnt of each coin alone.
    `anchor_share` is the anchor's share in the logarithm of the scale, and in the location where it states one. A
    `kind` of `file:net.py:Net` or `onnx:model.onnx` is the user's own, relative to `folder`, the study's, which is no
    setting.
    """

    kind: str = "lstm"
    hidden: int = Field(default=48, ge=4, le=1024)
    layers: int = Field(default=1, ge=1, le=8)
    dropout: float = Field(default=0.25, ge=0.0, lt=1.0)
    window: int = Field(default=24, ge=2, le=512)
    layer_norm: bool = False
    residual: bool = False
    readout: int = Field(default=64, ge=0, le=1024)
    coin_width: int = Field(default=0, ge=0, le=64)
    instance_norm_rows: int = Field(default=0, ge=0, le=2_000)
    head: str = "student-t"
    seeds: tuple[int, ...] = (1, 2, 3)
    anchor: Literal["har", "lightgbm"] = "lightgbm"
    anchor_share: float = Field(default=0.7, ge=0.0, le=1.0)
    restart_rows: int = Field(default=256, ge=32)
    folder: Path = Field(default=Path(), exclude=True)

    @property
    def learns_positions(self) -> bool:
        """Whether the head learns what to hold, from what holding earns after costs and funding."""
        return self.head.startswith("position-")


class TrainingSettings(Section):
    """How the network is fitted, and how a fitted one is refined on new bars.

    `device` and `precision` are of training alone: inference is always single precision on the processor. "auto" takes
    an accelerator where there is one, so that the same study gives other bits on other machines. A checkpoint is
    written every `checkpoint_every` looks at the validation rows. `replay_share` is the share of old chunks in a batch
    of a refinement, `refine_rate` its learning rate. `horizon_weights` says how much each horizon counts in the loss
    (empty: all alike). `costs` are the study's, for heads that learn what to hold; they are no setting here.
    """

    chunk_bars: int = Field(default=192, ge=16)
    burn_in_bars: int = Field(default=48, ge=0)
    batch_chunks: int = Field(default=48, ge=1)
    steps: int = Field(default=150, ge=10)
    learning_rate: float = Field(default=2e-3, gt=0.0)
    weight_decay: float = Field(default=0.05, ge=0.0)
    check_every: int = Field(default=10, ge=1)
    patience: int = Field(default=6, ge=1)
    processes: int = Field(default=0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    checkpoint_every: int = Field(default=5, ge=1)
    refine_steps: int = Field(default=60, ge=10)
    refine_rate: float = Field(default=1e-3, gt=0.0)
    replay_share: float = Field(default=0.5, ge=0.0, le=1.0)
    horizon_weights: tuple[float, ...] = ()
    costs: Costs = Field(default_factory=Costs, exclude=True)
