"""The tensors of a deep-compression auto-encoder as MIT's repositories have them, and diffusers' names, which are ours.

Theirs are those of efficientvit's modules: a layer is a `conv` within a block, a block with a shortcut has it beside
its `main`, and the blocks of a level are its `op_list`. Queries, keys and values are of one convolution.
"""

import re
from collections.abc import Iterable

MARK = re.compile(r"encoder\.stages\.\d+\.op_list\.")
# Their layers' names, once `main` and `op_list` are left out; the first that fits counts.
LAYERS = [
    (r"^encoder\.project_in\.conv\.(conv\.)?", "encoder.conv_in."),
    (r"^encoder\.project_out\.0\.conv\.", "encoder.conv_out."),
    (r"^decoder\.project_in\.conv\.", "decoder.conv_in."),
    (r"^decoder\.project_out\.0\.", "decoder.norm_out."),
    (r"^decoder\.project_out\.2\.conv\.(conv\.)?", "decoder.conv_out."),
    (r"\.context_module\.aggreg\.(\d+)\.0\.", r".attn.to_qkv_multiscale.\1.proj_in."),
    (r"\.context_module\.aggreg\.(\d+)\.1\.", r".attn.to_qkv_multiscale.\1.proj_out."),
    (r"\.context_module\.proj\.conv\.", ".attn.to_out."),
    (r"\.context_module\.proj\.norm\.", ".attn.norm_out."),
    (r"\.local_module\.(inverted|depth|point)_conv\.conv\.", r".conv_out.conv_\1."),
    (r"\.local_module\.point_conv\.norm\.", ".conv_out.norm."),
    (r"\.conv2\.norm\.", ".norm."),
    (r"\.(conv1|conv2|conv)\.conv\.", r".\1."),
]
QKV = ".context_module.qkv.conv.weight"


def to_diffusers(names: Iterable[str]) -> dict[str, tuple[str, int | None]]:
    """Our name of each, with theirs and which third of its rows it is."""
    names = set(names)
    # A first level without blocks leaves its change of size to the first and the last convolution.
    changes = {half: not any(name.startswith(f"{half}.stages.0.") for name in names) for half in ("encoder", "decoder")}
    renamed: dict[str, tuple[str, int | None]] = {}
    for name in names:
        ours = re.sub(r"^encoder\.stages\.", "encoder.down_blocks.", re.sub(r"\.(main|op_list)(?=\.)", "", name))
        ours = re.sub(r"^decoder\.stages\.", "decoder.up_blocks.", ours)
        if ours.endswith(QKV):
            renamed |= {f"{ours.removesuffix(QKV)}.attn.to_{part}.weight": (name, i) for i, part in enumerate("qkv")}
            continue
        for theirs, layer in LAYERS:
            ours, fits = re.subn(theirs, layer, ours)
            if fits:
                break
        for half, layer in (("encoder", "encoder.conv_in."), ("decoder", "decoder.conv_out.")):
            if changes[half] and ours.startswith(layer):
                ours = ours.replace(layer, f"{layer}conv.")
        renamed[ours] = name, None
    return renamed
