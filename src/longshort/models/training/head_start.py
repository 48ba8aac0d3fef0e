"""Where a position head begins to learn: at a network that believes, and wishes in proportion to the mean it states.

What holding earns is noise next to a likelihood, and hardly to trade is a local optimum: from nothing, money teaches
little (docs/log.md). A belief is learnt first; what to make of it, money then teaches.
"""

from collections.abc import Mapping

import numpy as np
import torch

from longshort.models.training.trainer import Weights

BELIEF = "student-t"
WIDTH = 3  # its outputs per horizon; the first is the mean
PREFERRED_BARS = 4  # ahead: a position is held for longer than the next bar, or costs eat it
FOLLOW = 5.0  # of the mean in volatility units: a full wish at about .2
LEARNING_SHARE = 0.5  # of the learning rate: a good beginning is soon forgotten
OUTPUTS = ("head.weight", "head.bias", "skip.weight", "bend.2.weight", "bend.2.bias")


def believed_horizon(horizons: tuple[int, ...]) -> int:
    """The place of the horizon whose mean is wished for.

    >>> believed_horizon((1, 4, 24)), believed_horizon((1,)), believed_horizon((1, 12))
    (1, 0, 0)
    """
    return int(np.argmin(np.abs(np.asarray(horizons) - PREFERRED_BARS)))


def wishing(belief: Mapping[str, torch.Tensor], horizons: tuple[int, ...]) -> Weights:
    """A network whose wish at the first horizon is `FOLLOW` times the mean that a belief's network states."""
    place = WIDTH * believed_horizon(horizons)
    found: Weights = {}
    for name, part in belief.items():
        found[name] = part.clone()
        if name in OUTPUTS:
            found[name] = part.new_zeros((2 * len(horizons), *part.shape[1:]))
            found[name][0] = FOLLOW * part[place]
    return found
