"""A fused kernel for training an LSTM on a processor, and the module that uses it where it can."""

from longshort.models.kernel.lstm import LSTM as LSTM
