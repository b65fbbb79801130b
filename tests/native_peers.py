"""Networks of diffusers' with the names that MIT's deep-compression and Tencent's HunyuanImage files have."""

import re

import torch

VIT = {"conv_inverted": "inverted_conv.conv", "conv_depth": "depth_conv.conv", "conv_point": "point_conv.conv"}
VIT = {f"conv_out.{ours}.": f"local_module.main.{theirs}." for ours, theirs in VIT.items()}
VIT |= {"conv_out.norm.": "local_module.main.point_conv.norm.", "attn.to_out.": "context_module.main.proj.conv."}
VIT |= {"attn.norm_out.": "context_module.main.proj.norm."}
RES = {"conv1.": "main.conv1.conv.", "conv2.": "main.conv2.conv.", "norm.": "main.conv2.norm."}


def to_efficientvit(state: dict, strided: bool) -> dict:
    """diffusers' names -> those of efficientvit's modules. strided: whether plain convolutions halve the size."""
    ends = {
        "encoder.conv_in.conv.": "encoder.project_in.conv." + ("" if strided else "conv."),
        "encoder.conv_in.": "encoder.project_in.conv.",
        "encoder.conv_out.": "encoder.project_out.main.op_list.0.conv.",
        "decoder.conv_in.": "decoder.project_in.main.conv.",
        "decoder.norm_out.": "decoder.project_out.op_list.0.",
        "decoder.conv_out.conv.": "decoder.project_out.op_list.2.conv.conv.",
        "decoder.conv_out.": "decoder.project_out.op_list.2.conv.",
    }
    renamed = {}
    for name, tensor in state.items():
        block = re.match(r"(encoder|decoder)\.(?:down|up)_blocks\.(\d+)\.(\d+)\.(.+)", name)
        if not block:
            ours = next(end for end in ends if name.startswith(end))
            renamed[name.replace(ours, ends[ours])] = tensor
            continue
        half, level, index, layer = block.groups()
        place = f"{half}.stages.{level}.op_list.{index}."
        window = re.fullmatch(r"attn\.to_qkv_multiscale\.(\d)\.proj_(in|out)\.weight", layer)
        if layer in ("attn.to_k.weight", "attn.to_v.weight"):
            continue
        if layer == "attn.to_q.weight":
            parts = [state[name.replace("to_q", f"to_{part}")] for part in "qkv"]
            renamed[f"{place}context_module.main.qkv.conv.weight"] = torch.cat(parts)[:, :, None, None]
        elif window:
            number = int(window[2] == "out")
            renamed[f"{place}context_module.main.aggreg.{window[1]}.{number}.weight"] = tensor
        elif layer.startswith("conv."):
            plain = strided and half == "encoder"
            renamed[f"{place}main.{'' if plain else 'conv.'}{layer}"] = tensor
        else:
            ours, theirs = next((o, t) for o, t in (VIT | RES).items() if layer.startswith(o))
            tensor = tensor[:, :, None, None] if layer == "attn.to_out.weight" else tensor
            renamed[place + layer.replace(ours, theirs)] = tensor
    return {name: tensor.contiguous() for name, tensor in renamed.items()}


def to_tencent(state: dict) -> dict:
    """diffusers' names -> those of HunyuanImage's file, of a network of three levels of two blocks, in it a video's."""
    inner = {"to_q": "q", "to_k": "k", "to_v": "v", "proj": "proj_out", "norm": "norm"}
    renamed = {}
    for name, tensor in state.items():
        row = re.match(r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.", name)
        if row:
            length = 3 if row[1] == "encoder" else 4  # of a level: its blocks, and its change of resolution
            level, index = divmod(int(row[3]), length)
            layer = f"{row[2]}sample" if index == length - 1 else f"block.{index}"
            name = f"{row[1]}.{row[2]}.{level}.{layer}.{name[row.end() :]}"
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = re.sub(r"mid_block\.attentions\.0\.(\w+)", lambda m: f"mid.attn_1.{inner[m[1]]}", name)
        renamed[f"vae.{name}"] = tensor[:, :, None].contiguous() if tensor.dim() == 4 else tensor
    return renamed
