"""Calls and their results as bytes, for another machine: plain values as JSON, images and tensors as their raw numbers.

Nothing in it can run code when it is read, as a pickle could, and no path is in it but the names of models.
"""

import json
import struct
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.evaluation.stress import Stage
from vae.evaluation.unusual import Unusual
from vae.images import flatten
from vae.inference import Draw, Generated, Reconstruction
from vae.latents.priors import PriorNotFitted
from vae.ui.serving.jobs import Call, Drawn, Seen
from vae.ui.serving.latent_spread import Spread

KINDS = (Call, Draw, Reconstruction, Seen, Unusual, Generated, Drawn, Spread, Stage)  # dataclasses
RECORDS = {kind.__name__: kind for kind in KINDS}
DTYPES = {str(dtype): dtype for dtype in (torch.uint8, torch.int64, torch.float32, torch.bfloat16, torch.float16)}
HEAD = struct.Struct("<Q")  # how long the JSON is


def pack(value: Any) -> bytes:
    """The value as bytes. Raises TypeError for what no call and no result consists of."""
    parts: list[bytes] = []
    text = json.dumps(_plain(value, parts)).encode()
    return b"".join([HEAD.pack(len(text)), text, *parts])


def unpack(data: bytes) -> Any:
    """The value that `pack` was given."""
    view = memoryview(data)
    (length,) = HEAD.unpack_from(view)
    return _Reader(view[HEAD.size + length :]).value(json.loads(bytes(view[HEAD.size : HEAD.size + length])))


def _plain(value: Any, parts: list[bytes]) -> Any:
    """The value as JSON has it: a list is ["kind", what it consists of, ...]; the raw numbers go to `parts`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return ["tuple" if isinstance(value, tuple) else "list", *(_plain(part, parts) for part in value)]
    if isinstance(value, dict):
        return ["dict", {str(name): _plain(part, parts) for name, part in value.items()}]
    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous()
        parts.append(value.view(-1).view(torch.uint8).numpy().tobytes())
        return ["tensor", str(value.dtype), list(value.shape)]
    if isinstance(value, Image.Image):
        value = flatten(value)
        parts.append(value.tobytes())
        return ["image", value.mode, list(value.size)]
    if isinstance(value, DiagonalGaussian):
        return ["posterior", *(_plain(part, parts) for part in value.parameters)]
    if isinstance(value, PriorNotFitted):
        return ["not fitted", value.prior, value.fact]
    if isinstance(value, InputError):
        return ["refused", str(value)]
    if type(value).__name__ in RECORDS:
        return ["record", type(value).__name__, {name: _plain(part, parts) for name, part in vars(value).items()}]
    raise TypeError(f"{type(value).__name__} is part of no call and no result.")


class _Reader:
    """Takes the raw numbers in the order in which they were written."""

    def __init__(self, rest: memoryview):
        self.rest = rest

    def value(self, plain: Any) -> Any:
        if not isinstance(plain, list):
            return plain
        kind, *of = plain
        if kind in ("tuple", "list"):
            return (tuple if kind == "tuple" else list)(map(self.value, of))
        if kind == "dict":
            return {name: self.value(part) for name, part in of[0].items()}
        if kind == "tensor":
            dtype, shape = DTYPES[of[0]], of[1]
            return torch.frombuffer(bytearray(self._take(shape, dtype.itemsize)), dtype=dtype).view(shape)
        if kind == "image":
            mode, size = of
            return Image.frombytes(mode, tuple(size), self._take(size, {"L": 1, "RGB": 3}[mode]))
        if kind == "posterior":
            return DiagonalGaussian.from_parameters([self.value(part) for part in of])
        if kind == "not fitted":
            return PriorNotFitted(*of)
        if kind == "refused":
            return InputError(*of)
        if kind == "record":
            return RECORDS[of[0]](**{name: self.value(part) for name, part in of[1].items()})
        raise ValueError(f"There is no value of the kind {kind!r}.")

    def _take(self, shape: Sequence[int], size: int) -> bytes:
        for side in shape:
            size *= side
        if not 0 <= size <= len(self.rest):
            raise ValueError("The bytes are cut off.")
        taken, self.rest = bytes(self.rest[:size]), self.rest[size:]
        return taken
