"""A trained model on disk: weights, scaler, features, settings and hashes, written whole or not at all.

The weights' file is named by its content and `bundle.json` by its place, so that a crash leaves the old bundle
readable. Loading runs no code: safetensors and JSON only.
"""

import json
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from longshort.base.clock import format_instant
from longshort.base.errors import BundleError
from longshort.base.files import digest, write_atomically, write_json
from longshort.base.learning import ModelSettings
from longshort.base.settings import Study
from longshort.models.anchor import network_name, read, written
from longshort.models.inputs import Scaler
from longshort.models.lstm import FittedLSTM
from longshort.models.training.fitting import Curve, Member

FORMAT = 3
MADE_BY = ("features", "target", "model")  # the sections that a bundle cannot be used without agreeing on
MEMORY = "memory/"  # before the names of the features' state, among the weights
RETRAIN = "Train again with `longshort train STUDY`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A fitted LSTM and all that is needed to use it and to know where it came from.

    `memory` is the state of the features some while before the end of training: they go on from there.
    """

    fitted: FittedLSTM
    symbols: tuple[str, ...]
    interval: str
    created_at: int
    trained_until: int
    settings: dict[str, Any]
    memory: dict[str, np.ndarray]
    hashes: dict[str, str] = field(default_factory=dict[str, str])
    versions: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def names(self) -> tuple[str, ...]:
        """The features that the network reads."""
        return self.fitted.scaler.names

    @property
    def content(self) -> str:
        """A hash of all weights: a refined bundle names that of its parent."""
        return digest(*[part for name, array in sorted(self._arrays().items()) for part in (name, array)])

    def save(self, folder: Path) -> Path:
        """Write the bundle into a folder and return the path of its `bundle.json`."""
        weights, content = self._arrays(), self.content
        path = folder / f"weights-{content}.safetensors"
        write_atomically(path, lambda temporary: save_file(weights, temporary))
        write_json(folder / "bundle.json", self._description(content))
        for stale in folder.glob("weights-*.safetensors"):
            if stale != path:
                stale.unlink()
        return folder / "bundle.json"

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Read a bundle; raise `BundleError` where it is absent, damaged or of another format."""
        path = folder / "bundle.json"
        if not path.is_file():
            raise BundleError("there is no trained model here.", where=folder, remedy=RETRAIN)
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            if plain["format"] != FORMAT:
                raise BundleError(
                    f"its format is {plain['format']}, expected {FORMAT}.", where=path, remedy=RETRAIN
                )
            weights = load_file(folder / f"weights-{plain['weights']}.safetensors")
            found = digest(*[part for name, array in sorted(weights.items()) for part in (name, array)])
            if found != plain["weights"]:
                raise BundleError(
                    "the weights are not the ones that were saved.", where=folder, remedy=RETRAIN
                )
            return cls._from(plain, weights, folder.resolve().parent)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(
                f"the trained model cannot be read: {error}.", where=folder, remedy=RETRAIN
            ) from error

    def check(self, study: Study, symbols: tuple[str, ...], names: tuple[str, ...], recipe: str = "") -> None:
        """Raise `BundleError` unless a study can be run with this bundle; `recipe` hashes the user's own code."""
        if recipe != self.hashes.get("recipe", recipe):
            raise BundleError(
                "the files with your own features, filter or network have changed since the model was trained.",
                remedy=RETRAIN,
            )
        if names != self.fitted.scaler.names:
            odd = sorted(set(names) ^ set(self.fitted.scaler.names)) or ["their order"]
            raise BundleError(
                f"the model was trained on other features than the study's (differing: {', '.join(odd[:5])}).",
                remedy=RETRAIN,
            )
        if symbols != self.symbols:
            raise BundleError(
                f"the model was trained on {', '.join(self.symbols)}, the study has {', '.join(symbols)}.",
                remedy=RETRAIN,
            )
        if study.data.interval != self.interval:
            raise BundleError(
                f"the model was trained on {self.interval} bars, the study has {study.data.interval}.",
                remedy=RETRAIN,
            )
        wanted = study.model_dump(mode="json", include=set(MADE_BY))
        for section in MADE_BY:
            for key, value in wanted[section].items():
                if self.settings[section].get(key) != value:
                    raise BundleError(
                        f"the model was trained with {section}.{key} = {self.settings[section].get(key)}, "
                        f"the study has {value}.",
                        remedy=RETRAIN,
                    )

    def _arrays(self) -> dict[str, np.ndarray]:
        weights = {
            f"{member.seed}/{k}/{name}": np.ascontiguousarray(array)
            for member in self.fitted.members
            for k, state in enumerate(member.weights)
            for name, array in state.items()
        }
        return weights | {f"{MEMORY}{name}": np.ascontiguousarray(part) for name, part in self.memory.items()}

    def _description(self, content: str) -> dict[str, Any]:
        scaler = self.fitted.scaler
        return {
            "format": FORMAT,
            "weights": content,
            "symbols": self.symbols,
            "interval": self.interval,
            "horizons": self.fitted.horizons,
            "mean_weights": self.fitted.mean_weights,
            "anchor": written(self.fitted.anchor),
            "created_at": self.created_at,
            "trained_until": self.trained_until,
            "features": [
                {"name": name, "mean": mean, "std": std, "optional": optional}
                for name, mean, std, optional in zip(
                    scaler.names, scaler.mean.tolist(), scaler.std.tolist(), scaler.optional, strict=True
                )
            ],
            "members": [{"seed": m.seed, "curve": asdict(m.curve)} for m in self.fitted.members],
            "settings": self.settings,
            "hashes": self.hashes,
            "versions": self.versions,
        }

    @classmethod
    def _from(cls, plain: dict[str, Any], weights: dict[str, np.ndarray], home: Path) -> "Bundle":
        horizons = tuple(plain["horizons"])
        scaler = Scaler(
            names=tuple(f["name"] for f in plain["features"]),
            mean=np.array([f["mean"] for f in plain["features"]]),
            std=np.array([f["std"] for f in plain["features"]]),
            optional=tuple(f["optional"] for f in plain["features"]),
        )
        members = tuple(_member(m, weights, len(horizons)) for m in plain["members"])
        model = ModelSettings(**plain["settings"]["model"], folder=home)
        return cls(
            fitted=FittedLSTM(
                horizons=horizons,
                model=model,
                scaler=scaler,
                members=members,
                anchor=read(plain["anchor"], horizons),
                mean_weights=tuple(plain["mean_weights"]),
                coins=len(plain["symbols"]),
                name=network_name(model),
            ),
            symbols=tuple(plain["symbols"]),
            interval=plain["interval"],
            created_at=plain["created_at"],
            trained_until=plain["trained_until"],
            settings=plain["settings"],
            memory={n.removeprefix(MEMORY): part for n, part in weights.items() if n.startswith(MEMORY)},
            hashes=plain["hashes"],
            versions=plain["versions"],
        )

    def _repr_html_(self) -> str:
        seeds = ", ".join(str(m.seed) for m in self.fitted.members)
        rows = {
            "coins": ", ".join(self.symbols),
            "trained until": format_instant(self.trained_until),
            "seeds": seeds,
            "features": str(len(self.fitted.scaler.names)),
        }
        body = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items())
        return f"<table><caption>{escape(self.fitted.name)} bundle</caption>{body}</table>"


def _member(plain: dict[str, Any], weights: dict[str, np.ndarray], horizons: int) -> Member:
    states: list[dict[str, np.ndarray]] = []
    for k in range(horizons):
        prefix = f"{plain['seed']}/{k}/"
        states.append(
            {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
        )
    curve = plain["curve"]
    return Member(
        seed=plain["seed"],
        weights=tuple(states),
        curve=Curve(
            steps=tuple(curve["steps"]),
            score=tuple(tuple(v) for v in curve["score"]),
            best_step=tuple(curve["best_step"]),
            seconds=curve["seconds"],
            loss=tuple(curve.get("loss", ())),
            stopped=curve.get("stopped", ""),
        ),
        validation_mean=np.zeros((0, 0, horizons), dtype=np.float32),  # only a fit needs it
    )
