"""A bundle's networks as ONNX: one row in, one row out, the memory handed through by whoever runs them.

Every distinct network becomes a file of its own; `model.json` beside them says what goes in, how the outputs are read
and when a memory starts anew. A network is only called exported once onnxruntime has said of real rows what torch says.
"""

import inspect
import io
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from longshort.base.clock import format_instant
from longshort.base.errors import BundleError, MissingExtra
from longshort.base.files import write_atomically, write_json
from longshort.features.panel import Panel
from longshort.models.anchor import written
from longshort.models.bundle import Bundle
from longshort.models.heads.catalog import head_named
from longshort.models.inputs import CLIP, MAX_MARKED_ROWS
from longshort.models.lstm import as_rows
from longshort.models.network import Network
from longshort.models.networks.backbone import State
from longshort.models.onnx.session import EXTRA, Graph, open_graph

TOLERANCE = 1e-5  # relative to 1 + the size of an output: a few roundings of float32
OPSET = 17
TRACED_COLUMNS = 2
DESCRIPTION = "model.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """One network's file, and by how much onnxruntime differs from torch on how many rows."""

    path: Path
    seed: int
    horizons: tuple[int, ...]
    bytes: int
    largest_difference: float
    rows: int


class OneStep(nn.Module):
    """A network that reads a single row: (1, coin, input) and a memory -> (1, coin, horizon, output) and a memory."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, window: Float[Tensor, "1 coin input"], *rest: Tensor) -> tuple[Tensor, ...]:
        """Raw outputs and the memory; where coins have an embedding, their numbers come before the memory."""
        network = self.network
        coins, state = (rest[0], rest[1:]) if network.coins is not None else (None, rest)
        window = network.embed(window, coins)
        hidden, after = network.backbone(window, state)
        return network.said(hidden, window).unflatten(2, (network.config.horizons, -1)), *after


def export_bundle(bundle: Bundle, panel: Panel, folder: Path) -> list[Exported]:
    """Write every distinct network and the description; raise `BundleError` where one cannot be exported.

    The rows of `panel` are those on which onnxruntime and torch must agree within 1e-5.
    """
    fitted = bundle.fitted
    inputs = as_rows(fitted.scaler, panel).inputs
    found: list[Exported] = []
    networks: list[dict[str, Any]] = []
    for network, (seed, step, places) in zip(fitted.networks(), _distinct(bundle), strict=True):
        path = folder / f"seed-{seed}-step-{step}.onnx"
        source = graph_of(network, inputs.shape[2], path)
        difference = difference_on(open_graph(source, path), network, inputs, path)
        write_atomically(path, partial(_write, source))
        horizons = tuple(fitted.horizons[k] for k in places)
        found.append(
            Exported(
                path=path,
                seed=seed,
                horizons=horizons,
                bytes=len(source),
                largest_difference=difference,
                rows=len(inputs),
            )
        )
        networks.append({"file": path.name, "seed": seed, "horizons": horizons, **_ports(source, path)})
    write_json(folder / DESCRIPTION, description(bundle, networks))
    return found


def graph_of(network: Network, inputs: int, where: Path) -> bytes:
    """A network as a graph of ONNX, written nowhere; raise `BundleError` where it cannot be one.

    It is traced by the older of torch's two exporters: the newer takes twenty seconds and unrolls an LSTM into a loop.
    """
    step, example = OneStep(network).eval(), _beginning(network, inputs, TRACED_COLUMNS)
    state = [f"state_{k}" for k in range(len(example) - (2 if network.coins is not None else 1))]
    names = ["window", *(["coins"] if network.coins is not None else []), *state]
    outputs = ["raw", *[f"{name}_after" for name in state]]
    axes = {name: {0 if name == "coins" else 1: "coin"} for name in (*names, *outputs)}
    buffer: Any = io.BytesIO()  # which torch takes, though its signature does not say so
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter(
            "ignore"
        )  # of being old, and of tracing: what was traced is compared with torch
        try:
            torch.onnx.export(
                step,
                example,
                buffer,
                dynamo=False,
                opset_version=OPSET,
                input_names=names,
                output_names=outputs,
                dynamic_axes=axes,
            )
        except ImportError as error:
            raise MissingExtra("onnx", EXTRA) from error
        except (RuntimeError, torch.onnx.OnnxExporterError) as error:
            reason = " ".join(str(error).split())[:200].rstrip(".")
            raise BundleError(f"its network cannot be exported: {reason}.", where=where) from error
    return buffer.getvalue()


def difference_on(
    graph: Graph, network: Network, inputs: Float32[np.ndarray, "time asset input"], where: Path
) -> float:
    """The largest difference from torch, row by row from an empty memory; raise `BundleError` beyond 1e-5.

    All coins side by side and the first alone: a graph that holds for one number of coins only would show.
    """
    largest = 0.0
    for part in (inputs, inputs[:, :1]):
        theirs, ours = outputs_of(graph, network, part), _by_torch(network, part)
        largest = max(largest, float(np.max(np.abs(theirs - ours) / (1.0 + np.abs(ours)), initial=0.0)))
    if not largest <= TOLERANCE:
        raise BundleError(
            f"its network cannot be exported: onnxruntime differs from torch by {largest:.1e}.", where=where
        )
    return largest


def outputs_of(
    graph: Graph, network: Network, inputs: Float32[np.ndarray, "time asset input"]
) -> Float32[np.ndarray, "time asset horizon output"]:
    """What onnxruntime says of rows that follow each other, from an empty memory."""
    _, *rest = [part.numpy() for part in _beginning(network, inputs.shape[2], inputs.shape[1])]
    fixed = 1 if network.coins is not None else 0
    said: list[Float32[np.ndarray, "time asset horizon output"]] = []
    for row in inputs:
        raw, *after = graph.run(row[None], *rest)
        rest = [*rest[:fixed], *after]
        said.append(raw)
    return np.concatenate(said)


@torch.inference_mode()
def _by_torch(
    network: Network, inputs: Float32[np.ndarray, "time asset input"]
) -> Float32[np.ndarray, "time asset horizon output"]:
    """What a forecast reads of the same rows."""
    state: State | None = None
    said: list[Tensor] = []
    for row in torch.from_numpy(inputs).split(1):
        window = network.embed(row, torch.arange(inputs.shape[1]))
        hidden, state = network.backbone(window, state)
        said.append(network.read(hidden, window))
    return torch.cat(said).numpy()


@torch.no_grad()
def _beginning(network: Network, inputs: int, columns: int) -> tuple[Tensor, ...]:
    """A row of zeros, the coins' numbers where they have an embedding, and an empty memory."""
    window, coins = torch.zeros(1, columns, inputs), torch.arange(columns) % network.config.coins
    _, state = network.backbone(network.embed(window, coins))
    numbered = (coins,) if network.coins is not None else ()
    return window, *numbered, *(torch.zeros_like(part) for part in state)


def description(bundle: Bundle, networks: list[dict[str, Any]]) -> dict[str, Any]:
    """All that is needed to run the networks elsewhere."""
    fitted, scaler = bundle.fitted, bundle.fitted.scaler
    return {
        "model": fitted.name,
        "symbols": bundle.symbols,
        "interval": bundle.interval,
        "horizons": fitted.horizons,
        "trained_until": format_instant(bundle.trained_until),
        "features": [
            {"name": n, "mean": m, "std": s, "optional": o}
            for n, m, s, o in zip(
                scaler.names, scaler.mean.tolist(), scaler.std.tolist(), scaler.optional, strict=True
            )
        ],
        "inputs": {
            "columns": [*scaler.names, *[f"lacks {f}" for f in scaler.marks], "missing", "missing_rows"],
            "clip": CLIP,
            "how": (
                "A feature is (value - mean) / std, clipped to +-clip, 0 where missing. `lacks` is 1 where a feature "
                "of that family is missing, `missing` 1 where the row cannot be used (all its features are 0 then), "
                f"`missing_rows` the number of rows missing in a row up to {MAX_MARKED_ROWS:g}, over that."
            ),
        },
        "memory": {
            "restart_rows": fitted.model.restart_rows,
            "how": (
                "Two memories run side by side. At each grid row that is a multiple of restart_rows the younger "
                "becomes the older and the other starts from zeros; the older one's output is read. A coin that "
                "comes back after more than the allowed gap starts from zeros in both."
            ),
        },
        "networks": networks,
        "outputs": _head(bundle),
        "mean_weights": fitted.mean_weights,
        "anchor": {"kind": fitted.model.anchor, "share": fitted.model.anchor_share, **written(fitted.anchor)},
    }


def _distinct(bundle: Bundle) -> list[tuple[int, int, list[int]]]:
    """Seed, step and horizons of each network, in the order of `FittedLSTM.networks`."""
    return [
        (member.seed, step, [k for k, own in enumerate(member.curve.best_step) if own == step])
        for member in bundle.fitted.members
        for step in dict.fromkeys(member.curve.best_step)
    ]


def _write(source: bytes, path: Path) -> None:
    path.write_bytes(source)


def _head(bundle: Bundle) -> dict[str, Any]:
    head = head_named(bundle.fitted.model.head)
    says = [inspect.getdoc(part) for part in (type(head), head.law)]
    return {
        "head": bundle.fitted.model.head,
        "per_horizon": head.width,
        "unit": "the causal volatility of a bar times the root of the horizon",
        "how": " ".join(text for text in says if text),
    }


def _ports(source: bytes, where: Path) -> dict[str, Any]:
    graph = open_graph(source, where)
    return {
        side: [{"name": port.name, "shape": [size or "coin" for size in port.shape]} for port in ports]
        for side, ports in (("takes", graph.inputs), ("answers", graph.outputs))
    }
