"""The members of the family by the word that a study writes as `[model] kind`."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from longshort.base.errors import StudyError
from longshort.base.learning import ModelSettings
from longshort.base.tables import nearest

OWN = "file:"  # before the path of a network of the user's own
GRAPH = "onnx:"  # before the path of a model from elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A member: its `key` in a study, its `name` in reports, the module and class that hold it, one line about it."""

    key: str
    name: str
    home: str
    summary: str

    def load(self) -> type[Any]:
        """The class, a `Backbone`; torch comes with it."""
        module, _, name = self.home.rpartition(".")
        return getattr(import_module(f"longshort.models.networks.{module}"), name)


KINDS = (
    Kind(key="lstm", name="LSTM", home="lstm.LSTM", summary="the plain cell, one layer or a stack"),
    Kind(
        key="cnn-lstm",
        name="CNN-LSTM",
        home="cnn_lstm.CNNLSTM",
        summary="causal dilated convolutions over model.window rows, then the plain LSTM",
    ),
    Kind(
        key="attention-lstm",
        name="attention-LSTM",
        home="attention_lstm.AttentionLSTM",
        summary="the plain LSTM and attention over its last model.window hidden states",
    ),
    Kind(key="gru", name="GRU", home="gru.GRU", summary="two gates and no cell state: the yardstick"),
)


def kind_of(model: ModelSettings) -> Kind:
    """The member that a study asks for; raise `StudyError` where there is none of that word."""
    if model.kind.startswith(OWN):
        from longshort.models.networks.own import own_kind

        return own_kind(model)
    for kind in KINDS:
        if kind.key == model.kind:
            return kind
    keys = [kind.key for kind in KINDS]
    raise StudyError(f"model.kind is {model.kind!r}, which there is not.", remedy=nearest(model.kind, keys))


def own_sources(model: ModelSettings) -> tuple[bytes, ...]:
    """What stands in the files of a model of the user's own, to be hashed; nothing for one of ours."""
    if model.kind.startswith(OWN):
        from longshort.models.networks.own import own_kind

        return (own_kind(model).source(),)
    if model.kind.startswith(GRAPH):
        from longshort.models.onnx.forecaster import graph_sources

        return graph_sources(model)
    return ()
