"""The contestants of `peers.py`: what all are given, the clock, and how each library is told to learn it.

Imported after the number of threads is set, since torch reads that once.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
import torch
from darts import TimeSeries
from darts.models import BlockRNNModel
from darts.utils.data.torch_datasets.utils import PLModuleInput
from darts.utils.likelihood_models.base import LikelihoodType
from darts.utils.likelihood_models.torch import TorchLikelihood
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import DistributionLoss
from neuralforecast.models import LSTM
from torch import Tensor
from torch.nn.functional import softplus

from longshort.base.settings import Study
from longshort.models.forecast import StudentT
from longshort.models.forecaster import Past
from longshort.models.training.fitting import Trainer

OWN, NEURAL, DARTS = "longshort", "neuralforecast", "darts"
WINDOW = 64
CHECK_SECONDS = 2.0  # of the clock, for peers
CHECK_STEPS = 5  # for this project
Law = tuple[Tensor, Tensor, Tensor]  # location, scale, degrees of freedom of each window


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What everybody is given: inputs (time, coin, input), scaled targets, NaN where there is none to score."""

    study: Study
    past: Past
    inputs: np.ndarray
    target: np.ndarray

    @property
    def learnt(self) -> range:
        """Training rows from the first at which every coin has all its inputs."""
        return range(int(self.past.panel.usable.all(axis=1).argmax()), self.past.train.stop)

    @property
    def came(self) -> np.ndarray:
        """The target of the row before, as it is known at a row; 0 where there was none."""
        return np.nan_to_num(np.concatenate([self.target[:1] * np.nan, self.target[:-1]])).astype(np.float32)

    def windows(self) -> Iterator[tuple[Tensor, Tensor]]:
        """What peers see at the validation rows, some rows x all coins at a time."""
        rows = self.past.validation
        for begin in range(rows.start, rows.stop, 64):
            part = slice(begin - WINDOW + 1, min(begin + 64, rows.stop))
            seen = (self.came[part, :, None], self.inputs[part])
            cut = [np.lib.stride_tricks.sliding_window_view(v, WINDOW, axis=0) for v in seen]
            came, inputs = (v.transpose(0, 1, 3, 2).reshape(-1, WINDOW, v.shape[2]) for v in cut)
            yield torch.from_numpy(came), torch.from_numpy(inputs)

    def score(self, ask: Callable[[Tensor, Tensor], Law]) -> float:
        """Mean log density of the validation rows under what a peer says of them."""
        with torch.inference_mode():
            said = [torch.stack(ask(came, inputs)) for came, inputs in self.windows()]
        rows = slice(self.past.validation.start, self.past.validation.stop)
        target = self.target[rows]
        loc, scale, df = torch.cat(said, dim=1).double().numpy().reshape(3, *target.shape)
        return float(np.nanmean(StudentT(loc=loc, scale=scale, df=df).log_density(target)))


@dataclass(frozen=True, slots=True)
class Setting:
    """What is chosen for a peer."""

    learning_rate: float
    windows: int


@dataclass(slots=True)
class Race:
    """One run: the clock, and (processor seconds, wall seconds, score) at every check."""

    budget: float
    patience: int
    points: list[tuple[float, float, float]] = field(default_factory=list[tuple[float, float, float]])
    cpu: float = 0.0
    wall: float = 0.0
    steps: int = 0
    _cpu_from: float = 0.0
    _wall_from: float = 0.0

    def go(self) -> None:
        self._cpu_from, self._wall_from = time.process_time(), time.perf_counter()

    def stand(self) -> None:
        self.cpu += time.process_time() - self._cpu_from
        self.wall += time.perf_counter() - self._wall_from

    @property
    def due(self) -> bool:
        """Whether a peer's next check has come."""
        last = self.points[-1][0] if self.points else 0.0
        return self.cpu + time.process_time() - self._cpu_from >= last + CHECK_SECONDS

    def check(self, score: float) -> None:
        self.points.append((self.cpu, self.wall, score))

    @property
    def over(self) -> bool:
        """Whether the budget is spent or patience has ended."""
        best = max(range(len(self.points)), key=lambda k: self.points[k][2])
        return self.cpu >= self.budget or len(self.points) - 1 - best >= self.patience

    @property
    def best(self) -> float:
        return max(score for _, _, score in self.points)

    def reached(self, score: float) -> tuple[float, float]:
        """Processor and wall seconds at the first check that is as good; infinite where none is."""
        return next(((cpu, wall) for cpu, wall, own in self.points if own >= score), (np.inf, np.inf))


class Checks(lightning.Callback):
    """Starts the clock of a peer with its first step, and stops it to score the validation rows."""

    def __init__(self, race: Race, score: Callable[[Any], float]) -> None:
        self._race, self._score = race, score

    def __deepcopy__(self, memo: object) -> "Checks":
        return self  # neuralforecast trains a copy of the model that it is given

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._race.go()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: object
    ) -> None:
        self._race.steps += 1
        if not self._race.due:
            return
        self._race.stand()
        pl_module.eval()
        self._race.check(self._score(pl_module))
        pl_module.train()
        trainer.should_stop = self._race.over
        self._race.go()


def run_own(material: Material, race: Race, seed: int, _: Setting | None) -> None:
    """This project's trainer, with default settings."""
    study = material.study
    trainer = Trainer(material.past, study.model, study.training, seed, material.past.train)
    race.go()
    for number in range(1, study.training.steps + 1):
        trainer.step(number)
        race.steps += 1
        if number % CHECK_STEPS == 0:
            race.stand()
            race.check(float(trainer.validate()[0]))
            if race.cpu >= race.budget:
                break
            race.go()


def lightning_options(checks: Checks) -> dict[str, Any]:
    return {
        "callbacks": [checks],
        "accelerator": "cpu",
        "gradient_clip_val": 1.0,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }


def run_neural(material: Material, race: Race, seed: int, setting: Setting) -> None:
    """The LSTM of neuralforecast: row t has the target known at t, so one step ahead of it is the one we want."""
    names = [f"x{k}" for k in range(material.inputs.shape[2])]

    def ask(module: Any, came: Tensor, inputs: Tensor) -> Law:
        said = module({"insample_y": came, "hist_exog": inputs, "futr_exog": None, "stat_exog": None})
        one = torch.ones_like(said[:, :, :1])
        df, loc, scale = module.loss.scale_decouple(module.loss.domain_map(said), loc=0.0 * one, scale=one)
        return loc.flatten(), scale.flatten(), df.flatten()

    model = LSTM(
        h=1,
        input_size=WINDOW,
        encoder_n_layers=1,
        encoder_hidden_size=material.study.model.hidden,
        decoder_layers=1,
        hist_exog_list=names,
        loss=DistributionLoss("StudentT"),
        scaler_type="identity",
        batch_size=1,
        windows_batch_size=setting.windows,
        learning_rate=setting.learning_rate,
        optimizer=torch.optim.AdamW,
        optimizer_kwargs={"weight_decay": material.study.training.weight_decay},
        max_steps=10**6,
        random_seed=seed,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        **lightning_options(Checks(race, lambda module: material.score(lambda *seen: ask(module, *seen)))),
    )
    rows = np.arange(material.learnt.start, material.learnt.stop + 1)
    tables = [
        pd.DataFrame(material.inputs[rows, coin], columns=names).assign(
            unique_id=symbol, ds=rows, y=material.came[rows, coin]
        )
        for coin, symbol in enumerate(material.past.panel.symbols)
    ]
    NeuralForecast(models=[model], freq=1).fit(pd.concat(tables))


class DartsStudentT(TorchLikelihood):
    """The Student-t that Darts lacks; of the kinds that it lists, Cauchy is the nearest."""

    def __init__(self) -> None:
        super().__init__(likelihood_type=LikelihoodType.Cauchy, parameter_names=["loc", "scale", "df"])

    def _distr_from_params(self, params: Law) -> torch.distributions.Distribution:
        loc, scale, df = params
        return torch.distributions.StudentT(df, loc, scale)

    def _params_from_output(self, model_output: Tensor) -> Law:
        loc, scale, df = model_output.unbind(-1)
        return loc, softplus(scale) + 1e-3, 2.0 + softplus(df)

    def sample(self, model_output: Tensor) -> Tensor:
        return self._distr_from_params(self._params_from_output(model_output)).sample()

    def law(self, model_output: Tensor) -> Law:
        """The parameters of each window."""
        loc, scale, df = self._params_from_output(model_output)
        return loc.flatten(), scale.flatten(), df.flatten()


def run_darts(material: Material, race: Race, seed: int, setting: Setting) -> None:
    """The LSTM of Darts, over the same rows."""
    likelihood = DartsStudentT()

    def score(module: Any) -> float:
        return material.score(
            lambda came, inputs: likelihood.law(
                module(PLModuleInput(past_target=came, past_covariates=inputs)).prediction
            )
        )

    model = BlockRNNModel(
        input_chunk_length=WINDOW,
        output_chunk_length=1,
        model="LSTM",
        hidden_dim=material.study.model.hidden,
        likelihood=likelihood,
        optimizer_cls=torch.optim.AdamW,
        optimizer_kwargs={"lr": setting.learning_rate, "weight_decay": material.study.training.weight_decay},
        batch_size=setting.windows,
        n_epochs=10**6,
        random_state=seed,
        pl_trainer_kwargs=lightning_options(Checks(race, score)),
    )
    rows = slice(material.learnt.start, material.learnt.stop + 1)
    coins = range(len(material.past.panel.symbols))
    model.fit(
        [TimeSeries.from_values(material.came[rows, coin, None]) for coin in coins],
        past_covariates=[TimeSeries.from_values(material.inputs[rows, coin]) for coin in coins],
        verbose=False,
    )


RUNNERS: dict[str, Callable[..., None]] = {OWN: run_own, NEURAL: run_neural, DARTS: run_darts}
