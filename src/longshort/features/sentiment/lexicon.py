"""Headlines scored offline and fast: VADER's rules with words of crypto and finance.

VADER (Hutto and Gilbert 2014) was made for social media: it scores "Bitcoin plunges after exchange hack" 0. Its rules
for negation, emphasis and "but" are kept; `crypto.toml` gives it words, and takes back those that mean nothing here.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from longshort.base.errors import MissingExtra
from longshort.base.files import digest
from longshort.features.sentiment.score import Scores

EDITION = "1"  # count up where a change of this module moves scores: remembered ones are then made anew
NUMBER = r"[$€£]?\d[\d.,]*\s?(?:%|percent\b|[kmb]n?\b|million\b|billion\b)?"
SHORT_VERB = re.compile(r"[^aeiou][aeiou][^aeiouwxy]$")  # dip, dipped; but climb, climbed

_JOINED = re.compile(r"(?<=\w)[-\u2010-\u2015/](?=\w)")  # hyphens and dashes hide the words that they join
_POSSESSIVE = re.compile(r"['\u2019]s\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """Weights on VADER's scale from -4 to 4; a phrase is read as one word, `n` in it is any number."""

    words: Mapping[str, float]
    phrases: Mapping[str, float]

    @classmethod
    def parse(cls, text: str) -> "Lexicon":
        r"""Read the tables of `crypto.toml`.

        >>> Lexicon.parse('neutral=["share"]\n[[group]]\nweight=-3.0\nverbs=["hack"]').words["hacked"]
        -3.0
        """
        told = tomllib.loads(text)
        words, phrases = (
            _weighed(told.get("neutral", []), 0.0),
            _weighed(told.get("neutral_phrases", []), 0.0),
        )
        for group in told.get("group", []):
            weight = float(group["weight"])
            forms = [form for verb in group.get("verbs", []) for form in verb_forms(verb)]
            words |= _weighed([*forms, *group.get("words", [])], weight)
            phrases |= _weighed(group.get("phrases", []), weight)
        return cls(words=words, phrases=phrases)


class VaderScorer:
    """VADER's compound score, with a lexicon of ours or without one; needs the extra `news`."""

    def __init__(self, lexicon: Lexicon | None = None) -> None:
        self._analyzer = _analyzer()
        self._weights: Mapping[str, float] = lexicon.phrases if lexicon else {}
        self._pattern = _pattern(self._weights)
        self._is_plain = lexicon is None
        if lexicon:
            self._analyzer.lexicon |= {_token(weight): weight for weight in self._weights.values()}
            self._analyzer.lexicon |= lexicon.words
        weights = [repr(sorted(table.items())) for table in (self._analyzer.lexicon, self._weights)]
        edition = digest(EDITION, *weights)
        self.name = f"vader-{'crypto' if lexicon else 'plain'}-{edition}"

    def score(self, texts: Sequence[str]) -> Scores:
        """One score from -1 to 1 for each text.

        >>> scorer = VaderScorer(crypto_lexicon())
        >>> scorer.score(["Bitcoin plunges after exchange hack", "Ether up 5%"]).round(1).tolist()
        [-0.8, 0.5]
        """
        return np.array([self._compound(text) for text in texts], dtype=np.float64)

    def _compound(self, text: str) -> float:
        read = text if self._is_plain else self._pattern.sub(self._as_word, plain_words(text))
        return float(self._analyzer.polarity_scores(read)["compound"])

    def _as_word(self, match: re.Match[str]) -> str:
        phrase = re.sub(NUMBER, "n", " ".join(match[0].lower().split()))
        return _token(self._weights[phrase])


def crypto_lexicon() -> Lexicon:
    """Our words of crypto and finance."""
    return Lexicon.parse((files("longshort.features.sentiment") / "crypto.toml").read_text(encoding="utf-8"))


def verb_forms(verb: str) -> tuple[str, ...]:
    """A verb as headlines use it; irregular forms stand in the lexicon by themselves.

    >>> verb_forms("plunge"), verb_forms("dip"), verb_forms("rally")
    (('plunge', 'plunges', 'plunged', 'plunging'), ('dip', 'dips', 'dipped', 'dipping'), \
('rally', 'rallies', 'rallied', 'rallying'))
    """
    if verb.endswith("e"):
        return verb, f"{verb}s", f"{verb}d", f"{verb[:-1]}ing"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb, f"{verb[:-1]}ies", f"{verb[:-1]}ied", f"{verb}ing"
    stem = verb + verb[-1] if len(verb) <= 4 and SHORT_VERB.search(verb) else verb
    third = f"{verb}es" if verb.endswith(("s", "sh", "ch", "x", "z")) else f"{verb}s"
    return verb, third, f"{stem}ed", f"{stem}ing"


def plain_words(text: str) -> str:
    """A text with its joined words apart and possessives gone, so that words are found.

    >>> plain_words("Coinbase's all-time high")
    'Coinbase all time high'
    """
    return _POSSESSIVE.sub("", _JOINED.sub(" ", text)).replace("\u2019", "'")


def _pattern(phrases: Iterable[str]) -> re.Pattern[str]:
    """Any of the phrases, the longest first; one that never matches where there are none."""
    longest = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    parts = [r"\s+".join(NUMBER if word == "n" else re.escape(word) for word in p.split()) for p in longest]
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)" if parts else r"(?!)", re.IGNORECASE)


def _weighed(words: Iterable[str], weight: float) -> dict[str, float]:
    return dict.fromkeys(words, weight)


def _token(weight: float) -> str:
    return f"phrase{weight:+g}"  # no word of any language, and VADER strips nothing of it


def _analyzer() -> Any:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError as error:
        raise MissingExtra("vaderSentiment", "news") from error
    return SentimentIntensityAnalyzer()
