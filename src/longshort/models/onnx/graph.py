"""What a graph of ONNX takes and answers: as the file beside it says, and as the graph does when it is asked.

The file states what the graph itself does not: the features in order, how many rows, how far ahead, what the numbers
mean, and until when it was trained. Everything wrong in it is told in one sentence.
"""

import tomllib
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32
from pydantic import Field, ValidationError

from longshort.base.clock import parse_instant
from longshort.base.errors import StudyError
from longshort.base.settings import DateText, Section
from longshort.base.tables import nearest
from longshort.features.usercode import source_of
from longshort.models.onnx.session import Graph

STUDENT_T = 3  # mean, scale, degrees of freedom


class Description(Section):
    """What the file beside a graph says of it: everything that the graph itself does not."""

    features: tuple[str, ...] = Field(min_length=1)
    look_back_rows: int = Field(ge=1, le=10_000)
    horizons: tuple[int, ...] = Field(min_length=1)
    output: Literal["student-t", "quantiles"]
    levels: tuple[float, ...] = ()
    unit: Literal["log return", "volatility"] = "log return"
    scaling: Literal["study", "none"]
    trained_until: DateText

    @property
    def width(self) -> int:
        """How many numbers the graph states per horizon."""
        return len(self.levels) if self.output == "quantiles" else STUDENT_T


def described(path: Path) -> Description:
    """Read a description; raise `StudyError` where it is wrong."""
    try:
        says = Description(**tomllib.loads(source_of(path).decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"not a TOML file: {error}.", where=path) from error
    except ValidationError as error:
        raise StudyError(_first_problem(error), where=path) from error
    wrong = _contradiction(says)
    if wrong:
        raise StudyError(wrong, where=path)
    parse_instant(says.trained_until)
    return says


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "missing":
            return f"it does not say {place}."
        case "extra_forbidden":
            return f"unknown key {place}. {nearest(place, list(Description.model_fields))}"
        case _:
            return f"{place}: {problem['msg']} (was {problem['input']!r})."


def _contradiction(says: Description) -> str:
    """What is wrong with a description whose every part is right, or nothing."""
    levels = says.levels
    rising = all(low < high for low, high in zip((0.0, *levels), (*levels, 1.0), strict=True))
    if says.output == "quantiles" and not (levels and rising and levels[0] < 0.5 < levels[-1]):
        return f"levels must rise from below .5 to above .5, between 0 and 1 (was {list(levels)})."
    if says.output == "student-t" and levels:
        return "levels belong to quantiles, but output is student-t."
    if len(set(says.features)) < len(says.features):
        return "features names one of them twice."
    if len(set(says.horizons)) < len(says.horizons) or min(says.horizons) < 1:
        return f"horizons must be different numbers of bars, each at least 1 (was {list(says.horizons)})."
    return ""


def check_graph(graph: Graph, says: Description, assets: int, where: str) -> None:
    """Raise `StudyError` where a graph does not take and answer what its description says."""
    ports = (*graph.inputs, *graph.outputs)
    wrong = [port.name for port in ports if port.kind != "tensor(float)"]
    if len(ports) != 2 or wrong:
        raise StudyError(
            f"it has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs"
            + (f", and {wrong[0]} is not float32." if wrong else "."),
            where=where,
            remedy="One of each is expected, both float32.",
        )
    window = np.random.default_rng(1).standard_normal((assets, says.look_back_rows, len(says.features)))
    _fits(graph.inputs[0].shape, window.shape, "takes", where)
    said = ask(graph, window.astype(np.float32))
    _fits(said.shape, (assets, len(says.horizons), says.width), "answers", where)
    alone = ask(graph, np.where(np.arange(assets)[:, None, None] == 0, window, 0.0).astype(np.float32))
    if not np.allclose(said[0], alone[0], rtol=1e-4, atol=1e-6, equal_nan=True):
        raise StudyError("it lets one coin of a batch read another.", where=where)
    if not np.isfinite(said).all() or (says.output == "student-t" and not stated(said).all()):
        raise StudyError(
            "it answers with numbers that are no distribution.",
            where=where,
            remedy="They must be finite, and with student-t the scale above 0 and the degrees of freedom above 2.",
        )


def _fits(found: tuple[int | None, ...], wanted: tuple[int, ...], does: str, where: str) -> None:
    free = (None, 1) if does == "takes" else ()  # of the batch: one coin at a time will do
    same = len(found) == len(wanted) and all(
        f in (None, w) for f, w in zip(found[1:], wanted[1:], strict=True)
    )
    if not same or (found[0] not in (*free, wanted[0])):
        axes = "batch, time, feature" if does == "takes" else "batch, horizon, output"
        shown = ", ".join("any" if size is None else str(size) for size in found)
        raise StudyError(f"it {does} ({shown}), but its description says ({axes}) = {wanted}.", where=where)


def ask(graph: Graph, windows: Float32[np.ndarray, "asset time feature"]) -> Float32[np.ndarray, "asset ..."]:
    """What a graph says of a window per coin; one that takes a single window is asked coin by coin."""
    if graph.inputs[0].shape[0] == 1:
        return np.concatenate([graph.run(window[None])[0] for window in windows])
    return graph.run(windows)[0]


def stated(raw: Float[np.ndarray, "*cell 3"]) -> Bool[np.ndarray, "*cell"]:
    """Where mean, scale and degrees of freedom are those of a distribution with a variance."""
    finite = np.logical_and.reduce(np.isfinite(raw), axis=-1)
    return finite & (raw[..., 1] > 0.0) & (raw[..., 2] > 2.0)
