"""The tensors of Wan's and Qwen-Image's files, which are of networks for videos, and ours, for one frame.

A kernel over frames, (out, in, 3, k, k), becomes its last slice, `weight`, and those before, `earlier`. Known are
diffusers' names and those of the original files. In Wan 2.1's all levels lie in one row, and end where a resampling
stands; in Wan 2.2's each is a row of its own.
"""

import re
from collections.abc import Iterable

import torch
from torch import Tensor

Shape = tuple[int, ...]
MARKS = ("encoder.norm_out.gamma", "encoder.head.0.gamma")  # in diffusers' and ours, in the original files
LAYERS = {"residual.0": "norm1", "residual.2": "conv1", "residual.3": "norm2", "residual.6": "conv2"}
LAYERS |= {"shortcut": "conv_shortcut"}
TOP = {"conv1": "quant_conv", "conv2": "post_quant_conv"}
PARTS = {
    "conv1": "conv_in",
    "head.0": "norm_out",
    "head.2": "conv_out",
    "middle.0": "mid_block.resnets.0",
    "middle.1": "mid_block.attentions.0",
    "middle.2": "mid_block.resnets.1",
}
NESTED = re.compile(r"^(encoder|decoder)\.(down|up)samples\.(\d+)\.(?:down|up)samples\.(\d+)\.(\w+)\.")
# Where diffusers' tensors have a dimension for the frames, though there is one at most.
LAST_AXIS = re.compile(r"\.norm(1|2|_out)\.gamma$")
FLAT = re.compile(r"\.(resample\.1|to_qkv|proj)\.weight$")


def to_diffusers(names: Iterable[str]) -> dict[str, str]:
    """diffusers' name of each: of the original files' names, or of its own, which stay."""
    ends = sorted({int(m[1]) for m in (re.match(r"decoder\.upsamples\.(\d+)\.resample\.", n) for n in names) if m})

    def level(match: re.Match) -> str:
        index = int(match[1])
        above = [end for end in ends if end < index]
        within = "upsamplers.0" if index in ends else f"resnets.{index - (above[-1] + 1 if above else 0)}"
        return f"decoder.up_blocks.{len(above)}.{within}.{match[2]}"

    def within(match: re.Match) -> str:
        half, way, level, index, layer = match.groups()
        place = f"{way}sampler" if layer in ("resample", "time_conv") else f"resnets.{index}"
        return f"{half}.{way}_blocks.{level}.{place}.{layer}."

    def rename(name: str) -> str:
        name = re.sub(r"^(conv[12])\.", lambda m: f"{TOP[m[1]]}.", name)
        name = re.sub(
            r"^(encoder|decoder)\.(conv1|head\.[02]|middle\.[012])\.", lambda m: f"{m[1]}.{PARTS[m[2]]}.", name
        )
        name = re.sub(r"\.(residual\.[0236]|shortcut)\.", lambda m: f".{LAYERS[m[1]]}.", name)
        name = NESTED.sub(within, name)
        name = re.sub(r"^encoder\.downsamples\.", "encoder.down_blocks.", name)
        return re.sub(r"^decoder\.upsamples\.(\d+)\.(.+)", level, name)

    return {rename(name): name for name in names}


def one_frame(name: str, shape: Shape) -> list[tuple[str, Shape, str | None]]:
    """Our tensors that diffusers' tensor of that name holds: name, shape, and which of its slices in time."""
    if name.endswith(".gamma") and set(shape[1:]) == {1}:
        return [(name, (shape[0], 1, 1), None)]
    if ".time_conv." in name and len(shape) == 4 and shape[2:] == (1, 1):
        return [(name, shape[:3], None)]
    if len(shape) != 5 or not shape[2]:
        return [(name, shape, None)]
    out, into, frames, high, wide = shape
    if ".time_conv." in name:
        return [(name, (out, into, frames * high * wide), None)]
    parts: list[tuple[str, Shape, str | None]] = [(name, (out, into, high, wide), "last")]
    if frames > 1:
        parts.append((f"{name.removesuffix('weight')}earlier", (out, into * (frames - 1), high, wide), "earlier"))
    return parts


def for_videos(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict as diffusers' network takes it: `one_frame`'s inverse."""
    found, flat = {}, "encoder.conv_in.earlier" not in state  # Qwen-Image 2.1's kernels see no other frames
    for name, tensor in state.items():
        if name.endswith(".earlier"):
            continue
        if LAST_AXIS.search(name):
            tensor = tensor.unsqueeze(-1)
        elif ".time_conv.weight" in name:
            tensor = tensor[..., None] if flat else tensor[..., None, None]
        elif not flat and tensor.dim() == 4 and not FLAT.search(name):
            earlier = state.get(f"{name.removesuffix('weight')}earlier")
            slices = [tensor.unsqueeze(2)]
            if earlier is not None:
                slices.insert(0, earlier.reshape(*tensor.shape[:2], -1, *tensor.shape[2:]))
            tensor = torch.cat(slices, 2)
        found[name] = tensor.contiguous()
    return found
