"""What a law takes over of the mean that a network states."""

import numpy as np

from longshort.models.forecast import Values
from longshort.models.heads.head import Reading


def believed(mean: Values, reading: Reading) -> Values:
    """A mean in volatility units as a log return: times what is believed of it, then averaged with the anchor's."""
    own = mean * np.asarray(reading.mean_weights) * reading.unit
    return (1.0 - reading.mean_share) * own + reading.mean_share * reading.anchor.loc
