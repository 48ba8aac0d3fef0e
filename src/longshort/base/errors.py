"""Every error a user can meet, as one drawn tree; each message says what, where, and the remedy.

LongshortError
├── StudyError        the study file says something impossible
├── DataError         a file, a series or the lake cannot be used as it is
├── BundleError       a saved model does not fit the study or the data
├── VenueError        an exchange or another source refuses, cannot do it, or does not answer
├── NotComputable     a figure would need data that is not there
└── MissingExtra      an optional library is not installed
"""

from pathlib import Path


class LongshortError(Exception):
    """Something the user can put right: `what` is wrong, `where`, and the `remedy`."""

    def __init__(self, what: str, *, where: str | Path = "", remedy: str = "") -> None:
        self.what = what
        self.where = str(where)
        self.remedy = remedy
        place = f"{where}: " if str(where) else ""
        super().__init__(f"{place}{what}" + (f" {remedy}" if remedy else ""))


class StudyError(LongshortError):
    """The study file says something impossible."""


class DataError(LongshortError):
    """A file, a series or the lake cannot be used as it is."""


class BundleError(LongshortError):
    """A saved model does not fit the study or the data."""


class VenueError(LongshortError):
    """An exchange or another source refuses, cannot do it, or does not answer."""


class NotComputable(LongshortError):
    """A figure would need data that is not there, so it is left out rather than guessed."""


class MissingExtra(LongshortError):
    """An optional library is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"{library} is not installed.", remedy=f'Install it with `pip install "longshort[{extra}]"`.'
        )
