"""The kill switch: a file in the run folder, which any command, signal or hand can put there.

Whatever is called `KILL` stops trading, whoever made it and whatever it holds; so does a folder that cannot be read.
It stays pulled until a person re-arms: deleting the file is not enough, for the limits remember.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from longshort.base.clock import Clock, SystemClock
from longshort.base.errors import DataError
from longshort.base.files import write_json

PULLED, RELEASED = "KILL", "REARMED"
NO_REASON = "no reason was given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """Why trading was stopped, by whom (a command, a signal, a file), and when."""

    reason: str
    by: str
    at: int

    @property
    def words(self) -> str:
        """For the journal and for people.

        >>> Pulled(reason="prices look odd", by="command", at=0).words
        'prices look odd (command)'
        """
        return f"{self.reason} ({self.by})"


class KillSwitch:
    """One run's switch. Reading it costs one look at the file system while it is not pulled."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.path = folder / PULLED
        self._released = folder / RELEASED
        self._clock = clock or SystemClock()
        self._here: Pulled | None = None

    def pull(self, reason: str, *, by: str = "command") -> Pulled:
        """Stop trading; the first reason stays. Where it cannot be written it still holds in this process."""
        known = self.read()
        if known:
            return known
        self._here = Pulled(reason=reason or NO_REASON, by=by, at=self._clock.now())
        write_json(self.path, asdict(self._here))
        return self._here

    def read(self) -> Pulled | None:
        """Why trading is stopped, or None."""
        try:
            self.path.lstat()
        except FileNotFoundError:
            if self._here and self.rearmed_at > self._here.at:
                self._here = None
            if self.path.parent.is_dir():
                return self._here
            return Pulled(reason="the run folder is gone", by="file", at=self._clock.now())
        except OSError as error:
            return Pulled(
                reason=f"the switch cannot be read: {error.strerror}", by="file", at=self._clock.now()
            )
        return self._content()

    def rearm(self, *, by: str) -> int:
        """Let trading go on from now, and keep on record what stopped it; return the instant.

        It also releases what the limits have latched, a drawdown included. `by` says who did it.
        """
        was, at = self.read(), self._clock.now()
        told = {"rearmed_at": at, "by": by, "was": asdict(was) if was else None}
        write_json(self._released, told)
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(
                f"the switch cannot be re-armed: {error.strerror}.",
                where=self.path,
                remedy="Remove it by hand.",
            ) from error
        self._here = None
        return at

    @property
    def rearmed_at(self) -> int:
        """When a person last re-armed; -1 where nobody did, or where it cannot be read."""
        try:
            return int(json.loads(self._released.read_text(encoding="utf-8"))["rearmed_at"])
        except (OSError, ValueError, KeyError, TypeError):
            return -1

    def _content(self) -> Pulled:
        try:
            plain: Any = json.loads(self.path.read_text(encoding="utf-8"))
            return Pulled(reason=str(plain["reason"]), by=str(plain["by"]), at=int(plain["at"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Pulled(reason=self._words(), by="file", at=self._clock.now())

    def _words(self) -> str:
        """What somebody wrote into the file by hand."""
        try:
            return " ".join(self.path.read_text(encoding="utf-8")[:200].split()) or NO_REASON
        except (OSError, ValueError):
            return NO_REASON
