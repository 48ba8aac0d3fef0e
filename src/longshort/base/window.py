"""Stretches of time, half open: from an instant on, up to but without another."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """From `from_at` on, up to but without `to_at`; int64 nanoseconds."""

    from_at: int
    to_at: int

    def split(self, span: int) -> "list[Window]":
        """Pieces of at most `span`, in order.

        >>> Window(0, 5).split(2)
        [Window(from_at=0, to_at=2), Window(from_at=2, to_at=4), Window(from_at=4, to_at=5)]
        """
        starts = range(self.from_at, self.to_at, span)
        return [Window(start, min(start + span, self.to_at)) for start in starts]


def join_windows(windows: Iterable[Window]) -> list[Window]:
    """The same instants in as few windows as can be, in order.

    >>> join_windows([Window(4, 6), Window(0, 2), Window(2, 3), Window(5, 9)])
    [Window(from_at=0, to_at=3), Window(from_at=4, to_at=9)]
    """
    joined: list[Window] = []
    for window in sorted(w for w in windows if w.from_at < w.to_at):
        if joined and window.from_at <= joined[-1].to_at:
            joined[-1] = Window(joined[-1].from_at, max(joined[-1].to_at, window.to_at))
        else:
            joined.append(window)
    return joined


def missing_windows(wanted: Window, known: Iterable[Window]) -> list[Window]:
    """What of a window no known one covers, in order.

    >>> missing_windows(Window(0, 10), [Window(2, 3), Window(8, 20)])
    [Window(from_at=0, to_at=2), Window(from_at=3, to_at=8)]
    """
    missing: list[Window] = []
    from_at = wanted.from_at
    for window in join_windows(known):
        if window.from_at > from_at:
            missing.append(Window(from_at, min(window.from_at, wanted.to_at)))
        from_at = max(from_at, window.to_at)
        if from_at >= wanted.to_at:
            break
    else:
        missing.append(Window(from_at, wanted.to_at))
    return [w for w in missing if w.from_at < w.to_at]
