"""The user's own network: `[model] kind = "file:net.py:Net"`, any `nn.Module` held to the family's contract.

A `forward(window, state)` that answers `(hidden, state)` is a member like ours. A plain `forward(window)` that answers
hidden states alone is given a memory of the last `model.window` rows: it is run anew over them for each row, so that a
forecast depends on them and on nothing else. That costs `model.window` times the work.
"""

import inspect
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from longshort.base.errors import StudyError
from longshort.base.learning import ModelSettings
from longshort.features.usercode import module_of, source_of, users_code
from longshort.models.networks.backbone import Backbone, Hidden, Shape, State, Window
from longshort.models.networks.catalog import OWN, Kind
from longshort.models.networks.contract import hold_to_contract


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnKind(Kind):
    """A network of the user's: the class `class_name` in the file `path`."""

    path: Path
    class_name: str

    def source(self) -> bytes:
        """The file as it is; raise `StudyError` where there is none."""
        return source_of(self.path)

    def load(self) -> Any:
        """What makes networks of this kind."""
        return self.checked

    def checked(self, inputs: int, shape: Shape) -> Backbone:
        """A network for so many inputs; raise `StudyError` where it breaks the contract, in one sentence."""
        _checked(self, self.source(), inputs, shape)
        return self.made(inputs, shape)

    def made(self, inputs: int, shape: Shape) -> Backbone:
        """A network that nobody has looked at."""
        found = _class_in(self.path, self.class_name)
        with users_code(self.path, self.class_name):
            network = found(**_asked(found, inputs, shape, self.path))
        stateful = "state" in inspect.signature(network.forward).parameters
        return (Stateful if stateful else Windowed)(network, inputs, shape, self.path)


def own_kind(model: ModelSettings) -> OwnKind:
    """The network that `file:PATH:CLASS` names, relative to the study's folder; raise `StudyError`."""
    path, _, name = model.kind.removeprefix(OWN).rpartition(":")
    if not path or not name.isidentifier():
        raise StudyError(
            f"model.kind is {model.kind!r}, which names no class of a file.",
            remedy='Write it like "file:net.py:Net".',
        )
    return OwnKind(
        key=model.kind,
        name=f"{name} ({Path(path).name})",
        home=path,
        summary="a network of your own",
        path=model.folder / path,
        class_name=name,
    )


class Stateful(Backbone):
    """A network that carries its own state from row to row."""

    def __init__(self, network: nn.Module, inputs: int, shape: Shape, where: Path) -> None:
        super().__init__(inputs, shape)
        self.network = network
        self._where = where
        width: object = getattr(network, "width", None)
        if not isinstance(width, int):
            raise StudyError(
                f"{type(network).__name__} does not say how wide its hidden states are.",
                where=where,
                remedy="Set self.width, a whole number.",
            )
        self.width = width

    def forward(self, window: Window, state: State | None = None) -> tuple[Hidden, State]:
        """What the user's network says, and its state."""
        with users_code(self._where, type(self.network).__name__):
            hidden, after = self.network(window, state)
        return _hidden(hidden, window, self.network, self._where), tuple(after)


class Windowed(Backbone):
    """A plain network over the last `shape.window` rows of each row; its memory are the rows themselves.

    Rows before the start are zeros, like rows that are missing.
    """

    def __init__(self, network: nn.Module, inputs: int, shape: Shape, where: Path) -> None:
        super().__init__(inputs, shape)
        self.network = network
        self._where = where
        before = network.training
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            self.width = int(self._said(network.eval(), torch.zeros(shape.window, 2, inputs)).shape[-1])
        network.train(before)

    def forward(self, window: Window, state: State | None = None) -> tuple[Hidden, State]:
        """The last row of what the network says of each window, all windows side by side."""
        earlier, times, batch = self.shape.window - 1, *window.shape[:2]
        (past,) = (window.new_zeros(earlier, batch, self.inputs),) if state is None else state
        rows = torch.cat([past, window])
        views = rows.unfold(0, earlier + 1, 1).permute(3, 0, 1, 2)  # (window, time, batch, feature)
        said = self._said(self.network, views.reshape(earlier + 1, -1, self.inputs))
        return said[-1].reshape(times, batch, self.width), (rows[len(rows) - earlier :],)

    def _said(self, network: nn.Module, window: Window) -> Tensor:
        with users_code(self._where, type(network).__name__):
            hidden: object = network(window)
        return _hidden(hidden, window, network, self._where)


def _hidden(said: object, window: Window, network: nn.Module, where: Path) -> Tensor:
    """What a network said, if it is hidden states of the rows."""
    if not isinstance(said, Tensor) or said.ndim != 3 or said.shape[:2] != window.shape[:2]:
        shape = tuple(said.shape) if isinstance(said, Tensor) else type(said).__name__
        raise StudyError(
            f"{type(network).__name__} answers with {shape} to a window of shape {tuple(window.shape)}.",
            where=where,
            remedy="Answer with hidden states (time, batch, width).",
        )
    return said


@lru_cache(maxsize=16)
def _checked(kind: OwnKind, source: bytes, inputs: int, shape: Shape) -> None:
    """Hold the network to the contract, once for each of its contents; random numbers in use stay as they are."""
    del source  # part of the key
    with torch.random.fork_rng(devices=[]), torch.inference_mode(mode=False), torch.enable_grad():
        torch.manual_seed(0)
        hold_to_contract(kind.made(inputs, shape), kind.class_name, kind.path)


def _class_in(path: Path, name: str) -> type[nn.Module]:
    found: object = getattr(module_of(path), name, None)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise StudyError(
            f"it has no network {name!r}.", where=path, remedy="Define a class of torch.nn.Module."
        )
    return found


def _asked(network: type[nn.Module], inputs: int, shape: Shape, where: Path) -> dict[str, Any]:
    """The arguments that a network's constructor asks for, by name."""
    offered: dict[str, Any] = {"inputs": inputs, "shape": shape}
    offered |= {name: getattr(shape, name) for name in Shape.__dataclass_fields__}
    wanted = inspect.signature(network).parameters
    unknown = [name for name, p in wanted.items() if name not in offered and p.default is p.empty]
    if unknown:
        raise StudyError(
            f"{network.__name__} asks for {unknown[0]!r}, which we do not know.",
            where=where,
            remedy=f"It may ask for {', '.join(offered)}.",
        )
    return {name: offered[name] for name in wanted if name in offered}
