"""Money put into a paper account, or taken out, from another terminal: a file that the session takes, once.

It is journaled before it counts, and counts from the next close on. It is neither a gain nor a loss to the limits.
"""

import json
import time
from contextlib import suppress
from pathlib import Path

from longshort._commands.paper_desk import POLL_S, STOPS_IN_S, paper_folder
from longshort._commands.terminal import note, say
from longshort.base.errors import DataError
from longshort.base.files import write_json
from longshort.base.settings import Study
from longshort.trading.paper.account import PaperAccount
from longshort.trading.paper.diary import is_running

ASKED, REFUSED = "transfer.json", "transfer-refused.json"


def transfer(study: Study, money: float) -> None:
    """Move settlement units into (positive) or out of a study's running session; raise `DataError` where it fails."""
    folder = paper_folder(study)
    path, answer = folder / ASKED, folder / REFUSED
    if not money:
        raise DataError("no money is named.", remedy="Say how much with --deposit or --withdraw.")
    if not is_running(folder):
        raise DataError(
            "no paper session of this study is running.",
            where=folder,
            remedy="Start it with `longshort paper STUDY`, then move the money.",
        )
    if path.exists():
        raise DataError(
            "the transfer before this one is not taken yet.", where=path, remedy="Try again soon."
        )
    answer.unlink(missing_ok=True)
    write_json(path, {"money": money})
    ends_at = time.monotonic() + STOPS_IN_S
    while path.exists() and is_running(folder) and time.monotonic() < ends_at:
        time.sleep(POLL_S)
    if path.exists():
        path.unlink(missing_ok=True)
        raise DataError(
            "the session did not take the transfer.", where=folder, remedy="Look with `longshort status`."
        )
    if answer.exists():
        raise DataError(str(json.loads(answer.read_text(encoding="utf-8"))["why"]))
    say(f"{money:+,.2f} is on record, and counts from the next close on.")


def take_transfer(folder: Path, account: PaperAccount) -> None:
    """Journal what somebody wants to be moved, if anything, and say so; what cannot be moved is refused aloud."""
    path = folder / ASKED
    with suppress(FileNotFoundError):
        text = path.read_text(encoding="utf-8")
        try:
            money = float(json.loads(text)["money"])
            account.on_transfer(money)
            note(f"{money:+,.2f} by hand: it counts from the next close on.")
        except (DataError, ValueError, KeyError, TypeError) as error:
            note(f"A transfer by hand was refused: {error}")
            write_json(folder / REFUSED, {"why": str(error)})
        path.unlink()
