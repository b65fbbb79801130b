"""Other people's tensor names -> ours, which are those of today's diffusers.

Nothing is computed here: from a file's names and shapes `recognise` says which tensor of the file becomes which of
ours. Known namings: diffusers with today's and older attention names; CompVis (the single files of SD, SDXL, SD3,
FLUX.1 and FLUX.2), bare or inside a whole pipeline's file; the Stable Diffusion notebook; Wan and Qwen-Image, the
deep-compression networks and HunyuanImage, native and diffusers (wan_names, dc_names, hunyuan_names); TAESD, native and
diffusers; our own.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from vae.checkpoints import dc_names, hunyuan_names, wan_names
from vae.errors import InputError

LONGEST_NAME = 300  # characters of a tensor's name
CODEBOOK = "quantize.embedding.weight"
DC = re.compile(r"(encoder\.down|decoder\.up)_blocks\.\d+\.\d+\.")  # whose levels are plain sequences
HUNYUAN = re.compile(r"(encoder\.down|decoder\.up)_blocks\.\d+\.conv1\.")  # whose levels lie in one row
MIXED = "The file mixes two namings of the same tensors."
Shape = tuple[int, ...]

# What a whole pipeline's file, or a training checkpoint, holds beside the auto-encoder.
COMPANIONS = re.compile(
    r"(model\.diffusion_model|model_ema|cond_stage_model|conditioner|text_encoders?|denoiser|unet|control_model"
    r"|loss|linear_proj|foundation_model)\..*"
    r"|(sqrt_|log_)?(one_minus_|recip_|recipm1_)?alphas_cumprod(_prev)?|betas|posterior_.*|lvlb_weights|logvar"
    r"|global_step|scale_factor"
)
# What others put before the auto-encoder's names: pipelines, trainers, torch.compile, DistributedDataParallel.
PREFIXES = ("first_stage_model.", "vae.", "module.", "_orig_mod.", "model.", "autoencoder.")

# CompVis' names, and older diffusers'.
ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0", "norm": "group_norm"}
ATTENTION |= {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
UP = {"block": "resnets", "attn": "attentions", "upsample": "upsamplers.0"}
LINEAR = re.compile(r"\.(attentions\.\d+\.to_(q|k|v|out\.0)|attn\.to_(q|k|v|out))\.weight$")


@dataclass(frozen=True)
class Part:
    """Where one of our tensors is found: the tensor `source` of the file, or the `third` third of its rows (0 to 2), or
    of its third axis, which is time, the "last" entry or those "earlier"; seen in our `shape` (a 1x1 convolution's
    weight is a linear layer's)."""

    source: str
    shape: Shape
    third: int | None = None
    frames: str | None = None

    def take(self, read: Callable[[str], Tensor]) -> Tensor:
        tensor = read(self.source)
        if self.frames is not None:
            tensor = (tensor[:, :, -1] if self.frames == "last" else tensor[:, :, :-1]).clone()
        return (tensor if self.third is None else tensor.chunk(3)[self.third].clone()).reshape(self.shape)


@dataclass(frozen=True)
class Naming:
    """The result of `recognise`: `kind` is "kl", "vq", "dc", "hunyuan", "notebook", "wan", "tiny", "conv" or "own";
    `companions` are the tensors of the file that are known not to be the auto-encoder's; `parts` maps our names to
    where their tensors are.
    """

    kind: str
    parts: dict[str, Part]
    companions: tuple[str, ...] = ()

    @property
    def shapes(self) -> dict[str, Shape]:
        return {name: part.shape for name, part in self.parts.items()}


def recognise(shapes: dict[str, Shape]) -> Naming:
    """Find our tensors among a file's, given the shape of each by name.

    Names that are neither an auto-encoder's nor known companions are passed on as they are, so that strict loading
    reports them. Raises InputError if there is no auto-encoder in the file at all.
    """
    longest = max(shapes, key=len, default="")
    if len(longest) > LONGEST_NAME:
        raise InputError(f"A tensor's name has {len(longest):,} characters ({longest[:40]}…), as no network's has.")
    companions = tuple(name for name in shapes if COMPANIONS.fullmatch(name))
    known = set(companions)
    left = {name: name for name in shapes if name not in known}
    for prefix in _prefixes(left):
        left = {name.removeprefix(prefix): source for name, source in left.items()}
    if len(left) < len(shapes) - len(companions):
        raise InputError("The file holds the same auto-encoder's tensors twice, with and without a prefix.")
    names = set(left)
    if not any(name.startswith("encoder.") for name in names) or not any(n.startswith("decoder.") for n in names):
        missing = "no" if not any(n.startswith(("encoder.", "decoder.")) for n in names) else "only half of an"
        raise InputError(f"The weights hold {missing} auto-encoder: tensors under encoder. and decoder. are needed.")

    seen = {name: shapes[source] for name, source in left.items()}
    renamed: dict[str, tuple[str, int | None]]
    if any(mark in names for mark in wan_names.MARKS):
        return Naming("wan", _wan(left, shapes), companions)
    if "encoder.0.0.0.weight" in names:
        kind, renamed = "conv", {name: (name, None) for name in names}
    elif any(re.match(r"encoder\.\d+\.group_norm_1\.", name) for name in names):
        kind, renamed = "notebook", _notebook(names, seen)
    elif any(re.match(r"encoder\.(layers\.)?\d+\.conv\.", name) for name in names):
        kind, renamed = "tiny", {_tiny(name): (name, None) for name in names}
    elif any(DC.match(name) for name in names):
        kind, renamed = "dc", {name: (name, None) for name in names}
    elif any(dc_names.MARK.match(name) for name in names):
        kind, renamed = "dc", dc_names.to_diffusers(names)
    elif any(HUNYUAN.match(name) for name in names):
        kind, renamed = "hunyuan", {name: (name, None) for name in names}
    elif hunyuan_names.is_theirs(seen):
        kind, renamed = "hunyuan", {ours: (name, None) for ours, name in hunyuan_names.to_diffusers(names).items()}
    else:
        kind, renamed = "vq" if CODEBOOK in names else "kl", _kl(names)
    if len(renamed) < len(names) or {name for name, _ in renamed.values()} != names:
        raise InputError(MIXED)
    parts = {ours: _part(ours, left[n], seen[n], third, kind) for ours, (n, third) in renamed.items()}
    return Naming(kind, parts, companions)


def _prefixes(names: Iterable[str]) -> tuple[str, ...]:
    """The prefixes, the outermost first, that stand before the auto-encoder's names."""
    any_order = "|".join(map(re.escape, PREFIXES))
    for name in names:
        match = re.match(rf"((?:{any_order})+)(encoder|decoder)\.", name)
        if match:
            return tuple(re.findall(any_order, match[1]))
    return ()


def as_they_are(shapes: dict[str, Shape]) -> Naming:
    """The tensors of a network of one's own, whose names are its own."""
    return Naming("own", {name: Part(name, shape) for name, shape in shapes.items()})


def _wan(left: dict[str, str], shapes: dict[str, Shape]) -> dict[str, Part]:
    """left: the file's names by those without a prefix."""
    renamed = wan_names.to_diffusers(left)
    parts = [
        (ours, Part(left[name], shape, frames=frames))
        for theirs, name in renamed.items()
        for ours, shape, frames in wan_names.one_frame(theirs, shapes[left[name]])
    ]
    if len(renamed) < len(left) or len(dict(parts)) < len(parts):
        raise InputError(MIXED)
    return dict(parts)


def _part(ours: str, source: str, shape: Shape, third: int | None, kind: str) -> Part:
    if third is not None:
        if not shape or shape[0] % 3:
            raise InputError(f"The tensor {source[:100]} has the shape {list(shape)}, which is not three matrices.")
        shape = (shape[0] // 3, *shape[1:])
    if kind == "hunyuan":  # whose attention is of 1x1 convolutions to this day, and whose files may be a video's
        return Part(source, shape[:2] + shape[3:] if len(shape) == 5 and shape[2] == 1 else shape, third)
    if LINEAR.search(ours) and len(shape) == 4 and shape[2:] == (1, 1):
        shape = shape[:2]
    return Part(source, shape, third)


def _tiny(name: str) -> str:
    """TAESD's own names. Its decoder starts with the clamp, layer 0, which has no weights and no place in ours."""
    match = re.match(r"(encoder|decoder)\.(\d+)\.", name)
    if not match:
        return name
    shift = 1 if match[1] == "decoder" else 0
    return f"{match[1]}.layers.{int(match[2]) - shift}.{name[match.end() :]}"


def taesd_name(name: str) -> tuple[str, str]:
    """The half, "encoder" or "decoder", that a tensor of ours is in, and TAESD's own name of it there."""
    half, _, index, rest = name.split(".", 3)
    return half, f"{int(index) + (half == 'decoder')}.{rest}"


def _kl(names: Iterable[str]) -> dict[str, tuple[str, int | None]]:
    """CompVis' names and diffusers' older ones; today's stay. CompVis counts the decoder's levels from the image up."""
    levels = [int(m[1]) for m in (re.match(r"decoder\.up\.(\d+)\.", name) for name in names) if m]
    top = max(levels, default=0)

    def rename(name: str) -> str:
        name = re.sub(r"^encoder\.down\.(\d+)\.block\.", r"encoder.down_blocks.\1.resnets.", name)
        name = re.sub(r"^encoder\.down\.(\d+)\.attn\.", r"encoder.down_blocks.\1.attentions.", name)
        name = re.sub(r"^encoder\.down\.(\d+)\.downsample\.", r"encoder.down_blocks.\1.downsamplers.0.", name)
        name = re.sub(
            r"^decoder\.up\.(\d+)\.(block|attn|upsample)\.",
            lambda m: f"decoder.up_blocks.{top - int(m[1])}.{UP[m[2]]}.",
            name,
        )
        name = re.sub(r"\.mid\.block_([12])\.", lambda m: f".mid_block.resnets.{int(m[1]) - 1}.", name)
        name = re.sub(
            r"\.attentions\.(\d+)\.(norm|q|k|v|proj_out|query|key|value|proj_attn)\.",
            lambda m: f".attentions.{m[1]}.{ATTENTION[m[2]]}.",
            name.replace(".mid.attn_1.", ".mid_block.attentions.0."),
        )
        name = re.sub(r"\.group_norm\.(norm_layer|conv_y|conv_b)\.", r".spatial_norm.\1.", name)
        name = name.replace(".nin_shortcut.", ".conv_shortcut.").replace(".norm_out.", ".conv_norm_out.")
        return re.sub(r"^(encoder\.quant_conv|decoder\.post_quant_conv)\.", lambda m: m[1].split(".")[1] + ".", name)

    return {rename(name): (name, None) for name in names}


def _notebook(names: set[str], shapes: dict[str, Shape]) -> dict[str, tuple[str, int | None]]:
    """The Stable Diffusion notebook's Sequentials, whose layers are known by what they hold and by their order.

    In the encoder the residual block before the attention is the first of the middle, in the decoder likewise, and
    each plain convolution between residual blocks ends a level.
    """
    renamed: dict[str, tuple[str, int | None]] = {}
    for half in ("encoder", "decoder"):
        layers: dict[int, list[str]] = {}
        for name in sorted(names):
            match = re.match(rf"{half}\.(\d+)\.(.+)", name)
            if match:
                layers.setdefault(int(match[1]), []).append(match[2])
        roles = _notebook_roles(half, {i: _layer_type(half, i, layers[i], shapes) for i in sorted(layers)})
        for i, role in roles.items():
            for rest in layers[i]:
                source = f"{half}.{i}.{rest}"
                for ours, third in _notebook_names(role, rest):
                    renamed[ours] = (source, third)
    others = {name: (name, None) for name in names - {source for source, _ in renamed.values()}}
    return renamed | others


def _layer_type(half: str, index: int, rest: list[str], shapes: dict[str, Shape]) -> str:
    if "conv_1.weight" in rest:
        return "res"
    if "attention.in_proj.weight" in rest:
        return "attention"
    shape = shapes.get(f"{half}.{index}.weight", ())
    return {1: "norm", 4: "conv"}.get(len(shape), "unknown")


def _notebook_roles(half: str, types: dict[int, str]) -> dict[int, str]:
    """Layer index -> the module of ours that it is."""
    indices = list(types)
    attention = next((i for i in indices if types[i] == "attention"), None)
    norm = next((i for i in indices if types[i] == "norm"), None)
    if attention is None or norm is None or "unknown" in types.values():
        raise InputError(f"The {half} of these weights is not laid out as the notebook's is.")
    at = indices.index(attention)
    roles = {
        indices[0]: f"{half}.conv_in",
        indices[at - 1]: f"{half}.mid_block.resnets.0",
        attention: f"{half}.mid_block.attentions.0",
        indices[at + 1]: f"{half}.mid_block.resnets.1",
        norm: f"{half}.conv_norm_out",
    }
    levels, change = ("down_blocks", "downsamplers.0.conv") if half == "encoder" else ("up_blocks", "upsamplers.0.conv")
    level = depth = 0
    for i in indices[: indices.index(norm)]:
        if i in roles:
            continue
        if types[i] == "res":
            roles[i] = f"{half}.{levels}.{level}.resnets.{depth}"
            depth += 1
        else:
            roles[i] = f"{half}.{levels}.{level}.{change}"
            level, depth = level + 1, 0
    ends = [f"{half}.conv_out", "quant_conv" if half == "encoder" else "post_quant_conv"]
    roles |= dict(zip(indices[indices.index(norm) + 1 :], ends, strict=False))
    return roles


def _notebook_names(role: str, rest: str) -> list[tuple[str, int | None]]:
    """Our names for one tensor of the notebook: three of them for the stacked q, k, v."""
    if rest.startswith("attention.in_proj."):
        kind = rest.rsplit(".", 1)[1]
        return [(f"{role}.{name}.{kind}", third) for third, name in enumerate(("to_q", "to_k", "to_v"))]
    inner = {
        "group_norm_1.": "norm1.",
        "group_norm_2.": "norm2.",
        "conv_1.": "conv1.",
        "conv_2.": "conv2.",
        "residual_layer.": "conv_shortcut.",
        "attention.out_proj.": "to_out.0.",
    }
    for theirs, ours in inner.items():
        if rest.startswith(theirs):
            rest = ours + rest.removeprefix(theirs)
            break
    return [(f"{role}.{rest}", None)]
