"""Rules and sizers of the user's own: from a file beside the study, or from an installed package.

    [policy]
    rule = "file:my.py:MyRule"    # a class with wish(self, view), or
    sizer = "entry:NAME"          # one with size(self, view), offered by a package

It is made without arguments, or with the study's `Rule` where its constructor takes one. It is tried before it is
used, see `policy/rules/proving.py`, and whatever it wishes is held to the limits that hold for ours.
"""

import inspect
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np

from longshort.base.errors import StudyError
from longshort.base.tables import nearest
from longshort.features.usercode import module_of, source_of, users_code
from longshort.policy.rules.catalog import ByForecast, ByPosition, PolicyRule, Rule
from longshort.policy.rules.proving import faults_of_rule, faults_of_sizer
from longshort.policy.rules.sizing import SIZERS, Sizer
from longshort.policy.rules.view import PerCoin, View

FILE, ENTRY = "file:", "entry:"
GROUP = "longshort.policies"  # the entry points that packages offer, rules and sizers alike
RULES = ("forecast", "position")


class OwnRule:
    """A rule of the user's: what it raises or answers amiss is told in one sentence, with its file and line."""

    def __init__(self, inner: Any, where: str) -> None:
        self._inner = inner
        self._where = where

    def wish(self, view: View) -> PerCoin:
        """What it wishes; raise `StudyError` where that is no exposure per coin."""
        with users_code(self._where, "wish"):
            answer = np.asarray(self._inner.wish(view))
        return _checked(answer, view, "wish", self._where)


class OwnSizer:
    """A sizer of the user's, in the same way."""

    def __init__(self, inner: Any, where: str) -> None:
        self._inner = inner
        self._where = where

    def size(self, view: View) -> PerCoin:
        """What it answers; raise `StudyError` where that is no share of equity from 0 on per coin."""
        with users_code(self._where, "size"):
            answer = np.asarray(self._inner.size(view))
        size = _checked(answer, view, "size", self._where)
        if (size < 0.0).any():
            raise StudyError(
                f"size answers with {float(np.nanmin(size)):g}.",
                where=self._where,
                remedy="A size is from 0 on; `view.side` says which way it goes.",
            )
        return size


def rule_named(rule: Rule) -> PolicyRule:
    """The rule that a study asks for, tried if it is the user's own; raise `StudyError` where there is none."""
    name = rule.policy.rule
    if name == "auto":
        name = "position" if rule.learns_positions else "forecast"
    if name == "forecast":
        return ByForecast(rule, sizer_named(rule))
    if name == "position":
        return _by_position(rule)
    if not name.startswith((FILE, ENTRY)):
        raise _no_such("rule", name, [*RULES, "auto"])
    where, inner = _made(name, "wish", rule)
    own = OwnRule(inner, where)
    _refuse(faults_of_rule(own, rule), where)
    return own


def sizer_named(rule: Rule) -> Sizer:
    """The sizer that a study asks for, tried if it is the user's own; raise `StudyError` where there is none."""
    name = rule.policy.sizer
    if name in SIZERS:
        return SIZERS[name](rule.policy)
    if not name.startswith((FILE, ENTRY)):
        raise _no_such("sizer", name, list(SIZERS))
    where, inner = _made(name, "size", rule)
    own = OwnSizer(inner, where)
    _refuse(faults_of_sizer(own, rule), where)
    return own


def own_sources(rule: Rule) -> tuple[bytes, ...]:
    """What stands in the files of the user's own rule and sizer, to be hashed with a study."""
    named = (rule.policy.rule, rule.policy.sizer)
    return tuple(source_of(_place(name, rule)[0]) for name in named if name.startswith(FILE))


def _by_position(rule: Rule) -> ByPosition:
    if not rule.learns_positions:
        raise StudyError(
            'policy.rule is "position", and the head of the model states none.',
            remedy='Set model.head = "position-utility" or "position-sharpe", or policy.rule = "forecast".',
        )
    return ByPosition(rule)


def _made(name: str, method: str, rule: Rule) -> tuple[str, Any]:
    """Where the user's class comes from, and one of it."""
    if name.startswith(ENTRY):
        where, kind = name, _entry(name)
    else:
        path, wanted = _place(name, rule)
        where = str(path)
        kind = getattr(module_of(path), wanted, None)
    if not inspect.isclass(kind) or not callable(getattr(kind, method, None)):
        raise StudyError(
            f"{name.rpartition(':')[2]} is no class with a method {method}(self, view).", where=where
        )
    with users_code(where, kind.__name__):
        return where, kind(*([rule] if inspect.signature(kind).parameters else []))


def _place(name: str, rule: Rule) -> tuple[Path, str]:
    path, colon, wanted = name.removeprefix(FILE).rpartition(":")
    if not colon or not path:
        raise StudyError(
            f"{name!r} names no class.", remedy='Write the file and the class, like "file:my.py:MyRule".'
        )
    return rule.folder / path, wanted


@lru_cache(maxsize=16)
def _entry(name: str) -> Any:
    offered = {entry.name: entry for entry in entry_points(group=GROUP)}
    wanted = name.removeprefix(ENTRY)
    if wanted not in offered:
        raise StudyError(
            f"no installed package offers {wanted!r}.",
            where=name,
            remedy=f"Offered are: {', '.join(offered) or 'none'} (entry points of the group {GROUP}).",
        )
    with users_code(name):
        return offered[wanted].load()


def _checked(answer: np.ndarray, view: View, method: str, where: str) -> PerCoin:
    coins = len(view.symbols)
    if answer.shape != (coins,) or answer.dtype.kind not in "fiub":
        raise StudyError(
            f"{method} answers with {answer.dtype} of shape {answer.shape} for {coins} coins.",
            where=where,
            remedy="Return one number per coin, NaN where nothing should happen.",
        )
    if np.isinf(answer).any():
        raise StudyError(f"{method} answers with an infinite number.", where=where)
    return answer.astype(np.float64)


def _refuse(faults: list[str], where: str) -> None:
    if faults:
        raise StudyError(
            f"{faults[0]}.", where=where, remedy="What a rule and a sizer must keep to is in docs/policy.md."
        )


def _no_such(what: str, name: str, known: list[str]) -> StudyError:
    return StudyError(f"policy.{what} is {name!r}, which there is not.", remedy=nearest(name, known))
