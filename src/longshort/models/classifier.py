"""Headlines scored by a text classifier that lies in a folder on this machine.

Nothing is asked of the network, no code of the folder is run, and weights are read as safetensors only. A text's score
is the same bits whatever is scored beside it: every batch has one width, and a text's padding follows from its own
length. No accuracy is claimed for weights that are not at hand: `benchmarks/sentiment.py --model FOLDER` measures it.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float64

from longshort.base.errors import BundleError, MissingExtra
from longshort.base.files import digest

Scores = Float64[np.ndarray, " text"]

EDITION = "1"  # count up where a change of this module moves scores: remembered ones are then made anew
BATCH_TEXTS = 16
PADDED_TO = 32  # tokens: texts are padded to a multiple of it
LONGEST = 256  # tokens: what comes later in a text is not read
SIGNS = MappingProxyType(
    {"positive": 1.0, "pos": 1.0, "bullish": 1.0, "bull": 1.0}
    | {"negative": -1.0, "neg": -1.0, "bearish": -1.0, "bear": -1.0}
    | {"neutral": 0.0, "neu": 0.0}
)
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")


class Classifier:
    """A scorer of texts: P(positive) - P(negative), by the labels that the model's own `config.json` names.

    Raise `BundleError` where the folder lacks a part, or where its labels do not say which is good news: `LABEL_0` says
    nothing, for models count in either order.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer, self._model = _load(folder)
        labels: dict[int, str] = self._model.config.id2label
        self._signs = np.array(read_signs([labels[k] for k in sorted(labels)], folder))
        self._longest = _longest(self._model.config, self._tokenizer)
        self.name = f"model-{digest(EDITION, *(path.read_bytes() for path in _parts(folder)))}"

    def score(self, texts: Sequence[str]) -> Scores:
        """One score from -1 to 1 for each text."""
        encoded: list[list[int]] = [self._encode(text) for text in texts]
        widths = np.array([self._width(len(tokens)) for tokens in encoded], dtype=np.int64)
        scores = np.zeros(len(texts), dtype=np.float64)
        for width in np.unique(widths).tolist():
            rows = np.flatnonzero(widths == width)
            for start in range(0, len(rows), BATCH_TEXTS):
                chosen = rows[start : start + BATCH_TEXTS]
                scores[chosen] = self._score_batch([encoded[row] for row in chosen], width)
        return scores

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, truncation=True, max_length=self._longest)["input_ids"])

    def _width(self, tokens: int) -> int:
        return min(self._longest, -(-max(tokens, 1) // PADDED_TO) * PADDED_TO)

    def _score_batch(self, batch: Sequence[Sequence[int]], width: int) -> Scores:
        """Score at most `BATCH_TEXTS` texts, in a batch that is always as wide."""
        import torch

        torch.set_num_threads(1)  # sums in another order give other bits
        tokens = np.full((BATCH_TEXTS, width), self._tokenizer.pad_token_id, dtype=np.int64)
        mask = np.zeros((BATCH_TEXTS, width), dtype=np.int64)
        mask[:, 0] = 1  # a row without any token would be all NaN
        for row, text in enumerate(batch):
            tokens[row, : len(text)] = text
            mask[row, : len(text)] = 1
        with torch.inference_mode():
            answer = self._model(input_ids=torch.from_numpy(tokens), attention_mask=torch.from_numpy(mask))
            shares = torch.softmax(answer.logits.double(), dim=1).numpy()
        return (shares[: len(batch)] * self._signs).sum(axis=1)


def read_signs(labels: Sequence[str], where: str | Path) -> list[float]:
    """What each label of a model counts: 1, 0 or -1; raise `BundleError` where that is not plain.

    >>> read_signs(["Bearish", "NEUTRAL", "Bullish"], "x")
    [-1.0, 0.0, 1.0]
    """
    unknown = [label for label in labels if label.lower() not in SIGNS]
    if unknown:
        raise BundleError(
            f"its label {unknown[0]!r} does not say whether it is good news.",
            where=where,
            remedy='Name the labels positive, negative and neutral in "id2label" of its config.json.',
        )
    signs = [SIGNS[label.lower()] for label in labels]
    if sorted(s for s in signs if s) != [-1.0, 1.0] or len(signs) != len(set(signs)):
        raise BundleError(
            f"its labels are {', '.join(labels)}.",
            where=where,
            remedy="It needs one for good news, one for bad, and at most one for neither.",
        )
    return signs


def _load(folder: Path) -> tuple[Any, Any]:
    """The tokenizer and the network of a folder, whole and for classification."""
    _check_parts(folder)
    try:
        from safetensors import SafetensorError
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise MissingExtra("transformers", "classifier") from error
    disable_progress_bar()
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, **options)
        model, found = AutoModelForSequenceClassification.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise BundleError(f"it cannot be read as a classifier of texts ({reason}).", where=folder) from error
    _check_whole(folder, found["missing_keys"], tokenizer)
    return tokenizer, model.eval()


def _check_parts(folder: Path) -> None:
    if not folder.is_dir():
        raise BundleError(
            "no such folder.",
            where=folder,
            remedy="Name the folder of a model that was saved with save_pretrained.",
        )
    if not (folder / "config.json").is_file():
        raise BundleError("it holds no config.json, so it is no model.", where=folder)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise BundleError(
            "it holds no tokenizer.", where=folder, remedy="Save the model's tokenizer into the same folder."
        )
    if not list(folder.glob("*.safetensors")):
        raise BundleError(
            "it holds no weights as safetensors.",
            where=folder,
            remedy="Save the model again with safe_serialization=True: other formats can run code.",
        )


def _check_whole(folder: Path, missing: Iterable[str], tokenizer: Any) -> None:
    absent = sorted(missing)
    if absent:
        raise BundleError(
            f"its weights lack {absent[0]}: it was never trained to classify.",
            where=folder,
            remedy="Name the folder of a fine-tuned classifier.",
        )
    if tokenizer.pad_token_id is None:
        raise BundleError(
            "its tokenizer has no padding token.", where=folder, remedy="Set one and save it again."
        )


def _parts(folder: Path) -> list[Path]:
    """What a score depends on: configuration, words and weights."""
    endings = (".json", ".txt", ".model", ".safetensors")
    return sorted(path for path in folder.iterdir() if path.suffix in endings and path.is_file())


def _longest(config: Any, tokenizer: Any) -> int:
    places = int(getattr(config, "max_position_embeddings", LONGEST + 2))
    return min(LONGEST, int(tokenizer.model_max_length), places - 2)  # RoBERTa keeps two places for itself
