"""Where a network is trained and how precisely; inference is always single precision on the processor."""

from contextlib import AbstractContextManager, nullcontext

import torch

from longshort.base.errors import StudyError
from longshort.base.learning import TrainingSettings

BF16 = ("avx512_bf16", "amx_bf16", "arm_bf16", "bf16")  # what processors call it


def device_of(training: TrainingSettings) -> torch.device:
    """The device that a study asks for; raise `StudyError` where this machine lacks it.

    >>> device_of(TrainingSettings(device="cpu"))
    device(type='cpu')
    """
    if training.device == "cpu" or (training.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise StudyError(
            'training.device is "cuda", but torch finds no such accelerator here.',
            remedy='Write "cpu", or "auto" to use one only where there is one.',
        )
    return torch.device("cuda", torch.cuda.current_device())


def precision_of(training: TrainingSettings, device: torch.device) -> AbstractContextManager[object]:
    """What the network's outputs are computed under; raise `StudyError` where the device does not compute it itself."""
    if training.precision == "fp32":
        return nullcontext()
    if not computes_bf16(device):
        raise StudyError(
            f'training.precision is "bf16", which this {_noun(device)} can only imitate, and slowly.',
            remedy='Write "fp32".',
        )
    return torch.autocast(device.type, dtype=torch.bfloat16)


def computes_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for numbers of 16 bits with the exponent of 32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = torch.cpu.get_capabilities()
    return any(bool(has.get(name, False)) for name in BF16)


def _noun(device: torch.device) -> str:
    return "processor" if device.type == "cpu" else "accelerator"
