"""Which device to compute on."""

import torch

from vae.errors import InputError


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The device called `name`; for None or "auto" the best one present: CUDA, then MPS, then the CPU.

    Raises InputError for a name torch does not know or a device this machine does not have.
    """
    if name is None or str(name) == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # not on "meta", which has no values
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ValueError) as error:
        raise InputError(f"The device {str(name)!r} is not available here; use auto, cpu, cuda or mps.") from error
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 instructions, and so "auto" means bfloat16. Emulated it is slower than float32
    (see benchmarks/README.md)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
