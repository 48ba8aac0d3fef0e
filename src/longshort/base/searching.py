"""How a search for settings goes: which of them, how far, how often. None of it shapes a model."""

from pydantic import BaseModel, ConfigDict, Field

Value = bool | int | float | str


class TuningSettings(BaseModel):
    """Which settings `longshort tune` tries, between which ends, and on how many inner folds.

    `parameters` empty: the default ones. `ranges` names ends or choices of single settings, and of "families" those
    that may be read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trials: int = Field(default=30, ge=1, le=10_000)
    folds: int = Field(default=3, ge=1, le=20)
    first_train_share: float = Field(default=0.5, gt=0.0, lt=1.0)
    seeds: tuple[int, ...] = Field(default=(1,), min_length=1)
    parameters: tuple[str, ...] = ()
    ranges: dict[str, tuple[Value, ...]] = Field(default_factory=dict[str, tuple[Value, ...]])
    search_seed: int = Field(default=1, ge=0)
