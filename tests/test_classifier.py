"""A classifier of texts from a local folder: what it answers, and what it refuses. No accuracy is claimed for any."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from longshort.base.errors import BundleError
from longshort.features.sentiment.score import Remembered, Scorer
from longshort.models.classifier import BATCH_TEXTS, Classifier, read_signs

pytest.importorskip("transformers")

WORDS = ["bitcoin", "plunges", "soars", "after", "hack", "the", "exchange", "up", "down", "ether", "and"]
LABELS = ("negative", "neutral", "positive")


def save_model(folder: Path, labels: Sequence[str] = LABELS, *, headless: bool = False) -> Path:
    """Write a network of one tiny layer with random weights, and a vocabulary of a few words."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

    folder.mkdir()
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    config = BertConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=130,
        initializer_range=0.7,
        id2label=dict(enumerate(labels)),
        label2id={label: k for k, label in enumerate(labels)},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        (BertModel if headless else BertForSequenceClassification)(config).save_pretrained(folder)
    BertTokenizerFast(vocab_file=str(vocabulary)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def copied(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "model"))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = np.random.default_rng(1)
    return [" ".join(rng.choice(WORDS, size)) for size in rng.integers(0, 200, 2 * BATCH_TEXTS + 3)]


def test_a_score_is_the_share_of_good_news_less_that_of_bad(model: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    network = AutoModelForSequenceClassification.from_pretrained(model).eval()
    read = AutoTokenizer.from_pretrained(model)
    for text in ("bitcoin plunges after the hack", "ether soars"):
        with torch.inference_mode():
            shares = torch.softmax(network(**read(text, return_tensors="pt")).logits, dim=1)[0]

        score = Classifier(model).score([text])

        assert score[0] == pytest.approx(float(shares[2] - shares[0]), abs=1e-6)


def test_a_score_is_the_same_bits_whatever_is_scored_beside_it(
    model: Path, texts: list[str], rng: np.random.Generator
) -> None:
    scorer = Classifier(model)
    order = rng.permutation(len(texts))

    together = scorer.score(texts)

    assert np.unique(together).size > BATCH_TEXTS
    assert np.abs(together).max() <= 1.0
    np.testing.assert_array_equal(scorer.score([texts[k] for k in order]), together[order])
    np.testing.assert_array_equal([scorer.score([text])[0] for text in texts], together)
    np.testing.assert_array_equal(Classifier(model).score(texts), together)


def test_no_texts_have_no_scores(model: Path) -> None:
    assert Classifier(model).score([]).shape == (0,)


def test_what_comes_after_the_longest_text_is_not_read(model: Path) -> None:
    scores = Classifier(model).score(["bitcoin " * 400, "bitcoin " * 400 + "plunges"])

    assert scores[0] == scores[1]


def test_the_name_follows_the_weights_and_not_the_folder(copied: Path, model: Path) -> None:
    moved = Classifier(copied).name
    (copied / "config.json").write_text((copied / "config.json").read_text() + "\n")

    assert moved == Classifier(model).name
    assert Classifier(copied).name != moved


def test_its_scores_are_remembered_in_the_lake(model: Path, tmp_path: Path, texts: list[str]) -> None:
    scorer: Scorer = Classifier(model)
    memory = Remembered(scorer, tmp_path)

    first = memory.score(texts)

    assert memory.path.name == f"{scorer.name}.parquet"
    np.testing.assert_array_equal(memory.score(texts), first)
    np.testing.assert_array_equal(scorer.score(texts), first)


def test_labels_in_any_order_and_of_two_kinds_are_understood() -> None:
    assert read_signs(["Bullish", "Neutral", "Bearish"], "x") == [1.0, 0.0, -1.0]
    assert read_signs(["NEGATIVE", "POSITIVE"], "x") == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["LABEL_0", "LABEL_1", "LABEL_2"], "its label 'LABEL_0' does not say whether it is good news"),
        (["1 star", "5 stars"], "its label '1 star' does not say"),
        (["positive", "bullish"], "its labels are positive, bullish"),
        (["positive", "neutral"], "its labels are positive, neutral"),
        (["positive", "negative", "bearish"], "its labels are positive, negative, bearish"),
    ],
)
def test_labels_that_do_not_tell_good_news_from_bad_are_refused(labels: list[str], message: str) -> None:
    with pytest.raises(BundleError, match=f"x: {message}"):
        read_signs(labels, "x")


def test_a_model_with_numbered_labels_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "numbered", ["LABEL_0", "LABEL_1"])

    with pytest.raises(BundleError, match=r'Name the labels positive, negative and neutral in "id2label"'):
        Classifier(folder)


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("config.json", r"it holds no config\.json, so it is no model\."),
        ("vocab.txt tokenizer.json", r"it holds no tokenizer\."),
        ("model.safetensors", r"it holds no weights as safetensors\."),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused_by_its_name(copied: Path, gone: str, message: str) -> None:
    for name in gone.split():
        (copied / name).unlink()

    with pytest.raises(BundleError, match=rf"model: {message}"):
        Classifier(copied)


def test_a_folder_that_is_not_there_is_never_looked_for_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"finbert: no such folder\."):
        Classifier(tmp_path / "ProsusAI" / "finbert")


def test_damaged_weights_are_refused(copied: Path) -> None:
    (copied / "model.safetensors").write_bytes(b"no weights")

    with pytest.raises(BundleError, match="it cannot be read as a classifier of texts"):
        Classifier(copied)


def test_code_in_the_folder_is_never_run(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    mine = {"AutoConfig": "mine.Mine", "AutoModelForSequenceClassification": "mine.Mine"}
    (copied / "config.json").write_text(json.dumps({**config, "model_type": "mine", "auto_map": mine}))
    (copied / "mine.py").write_text(f"open({str(copied / 'ran')!r}, 'w').close()")

    with pytest.raises(BundleError, match="it cannot be read as a classifier of texts"):
        Classifier(copied)

    assert not (copied / "ran").exists()


def test_a_network_that_was_never_trained_to_classify_is_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "headless", headless=True)

    with pytest.raises(BundleError, match=r"its weights lack classifier\.bias: it was never trained"):
        Classifier(folder)
