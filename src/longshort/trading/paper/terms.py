"""What a paper account is begun with, and the first line of its journal, which holds it to that."""

from dataclasses import dataclass
from pathlib import Path

from longshort.base.errors import DataError
from longshort.base.instrument import AccountTerms, Costs
from longshort.base.trading import LimitSettings
from longshort.data.bars import Bars
from longshort.trading.paper.diary import Line, plain_of
from longshort.trading.paper.rows import instrument_line

FORMAT = 2
BEGUN = "begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an account is begun with: `name` tells study and model, `pattern` is a row of the coins.

    Of the past, between `kept_rows` and twice as many are at hand: no older row can be told otherwise.
    """

    name: str
    pattern: Bars
    costs: Costs
    account: AccountTerms
    starting_balance: float
    limits: LimitSettings
    kept_rows: int = 4_096

    @property
    def begun(self) -> Line:
        """The first line of a journal."""
        coins = [instrument_line(one) for one in self.pattern.instruments]
        return {"kind": BEGUN, "format": FORMAT, "name": self.name, "coins": plain_of(coins)}

    def check(self, line: Line, where: Path) -> None:
        """Raise `DataError` where a journal that begins with a line is not of this account."""
        if line != self.begun:
            raise DataError(
                "this account was begun with another study, model or program.",
                where=where,
                remedy="Go on with those, or move the folder away to begin anew.",
            )
