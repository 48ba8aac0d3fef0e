"""How a wish is cut to what one order, the whole book and the rate of orders allow; in signed notionals.

NaN leaves a position alone. Additions never count on what reduces elsewhere: if only some of the orders are filled,
or only in part, the book still stays within its limit. So a rotation of a full book takes two bars.
"""

import numpy as np
from jaxtyping import Bool, Float64

Notional = Float64[np.ndarray, " asset"]
WITHIN = 1.0 - 1e-9  # of a limit is used: what float products lose must not pass it


def never_added(wished: Notional, held: Notional) -> Notional:
    """What is left of a wish where a position may shrink, but not grow, turn or begin.

    >>> never_added(np.array([5.0, 1.0, -3.0, 2.0, np.nan]), np.array([2.0, 2.0, 2.0, 0.0, 2.0])).tolist()
    [nan, 1.0, 0.0, nan, nan]
    """
    same_side = np.sign(wished) == np.sign(held)
    less = np.where(same_side, np.sign(held) * np.minimum(np.abs(wished), np.abs(held)), 0.0)
    return np.where(np.isnan(wished) | (less == held), np.nan, less)


def reduces(wished: Notional, held: Notional) -> Bool[np.ndarray, " asset"]:
    """True where a wish makes a position smaller and does nothing else."""
    return (wished * held >= 0.0) & (np.abs(wished) <= np.abs(held))


def order_capped(wished: Notional, held: Notional, most: float) -> Notional:
    """Wishes that no order of more than `most` leads to, but for one that only reduces.

    A turn closes first; it goes on to the other side in the same order only as far as `most` reaches.

    >>> order_capped(np.array([90.0, 0.0, -90.0, -90.0]), np.array([10.0, 90.0, 90.0, 10.0]), 50.0).round(6).tolist()
    [60.0, 0.0, 0.0, -40.0]
    """
    order = wished - held
    part = np.minimum(np.abs(order), most * WITHIN)
    cut = held + np.sign(order) * part
    turning = wished * held < 0.0
    cut = np.where(turning & (part < np.abs(held)), 0.0, cut)
    return np.where((np.abs(order) <= most * WITHIN) | reduces(wished, held) | np.isnan(wished), wished, cut)


def gross_capped(
    wished: Notional, held: Notional, movable: Bool[np.ndarray, " asset"], most: float
) -> Notional:
    """Wishes that keep the gross notional within `most` whichever of their orders are filled.

    Additions shrink by one factor. Where what is held has outgrown the limit, nothing is added or turned and what may
    be moved shrinks by one factor: the book is back within the limit once those orders are filled.

    >>> every = np.ones(2, dtype=bool)
    >>> gross_capped(np.array([40.0, -60.0]), np.zeros(2), every, 50.0).round(6).tolist()
    [20.0, -30.0]
    >>> gross_capped(np.array([np.nan, np.nan]), np.array([60.0, 40.0]), every, 50.0).round(6).tolist()
    [30.0, 20.0]
    """
    most, ends = most * WITHIN, np.where(np.isnan(wished), held, wished)
    room = most - float(np.abs(held).sum())
    if room >= 0.0:
        added = np.maximum(np.abs(ends) - np.abs(held), 0.0)
        share = min(1.0, room / max(float(added.sum()), room, 1e-300))
        return np.where((added > 0.0) & (share < 1.0), np.sign(ends) * (np.abs(held) + share * added), wished)
    kept = never_added(wished, held)
    ends = np.where(np.isnan(kept), held, kept)
    moving = float(np.abs(ends[movable]).sum())
    left = max(most - float(np.abs(held[~movable]).sum()), 0.0)
    return np.where(movable & (ends != 0.0) & (moving > left), ends * (left / max(moving, 1e-300)), kept)


def rate_capped(wished: Notional, held: Notional, orders: int) -> Notional:
    """Wishes of which at most so many orders add: those that reduce go first and always go, then the largest.

    >>> rate_capped(np.array([0.0, 5.0, 9.0]), np.array([4.0, 0.0, 0.0]), 2).tolist()
    [0.0, nan, 9.0]
    """
    moves = ~np.isnan(wished) & (wished != held)
    adds = moves & ~reduces(wished, held)
    left = max(orders - int((moves & ~adds).sum()), 0)
    ranked = np.argsort(np.where(adds, -np.abs(wished - held), np.inf), kind="stable")
    beyond = adds.copy()
    beyond[ranked[:left]] = False
    return np.where(beyond, never_added(wished, held), wished)
