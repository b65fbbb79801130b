"""A model's config from nothing but its tensors' shapes: for single files that say nothing about themselves."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from vae.checkpoints import latent_spaces
from vae.checkpoints.dc_shapes import dc_config
from vae.checkpoints.key_mapping import CODEBOOK, Naming, Shape
from vae.errors import InputError
from vae.models import ModelConfig
from vae.models.autoencoder_hunyuan import HunyuanConfig
from vae.models.autoencoder_kl import Flux2Config, KLConfig
from vae.models.autoencoder_qwen21 import QwenImage21Config
from vae.models.autoencoder_wan import QwenImageConfig, WanConfig
from vae.models.conv import ConvConfig
from vae.models.tiny import TinyConfig
from vae.models.vq_model import VQConfig


def infer_config(naming: Naming, name: str = "", header: Mapping[str, str] | None = None) -> ModelConfig:
    """The config that the tensors' shapes imply. name, header: the file's, which may say whose latents these are.

    What shapes do not show is taken from the family: 32 normalisation groups, and the scaling factor where the file
    tells the family (see latent_spaces). Raises InputError if the shapes do not add up to a known network.
    """
    try:
        return _config(naming, name, header or {})
    except (KeyError, IndexError, ValueError, TypeError, ZeroDivisionError) as error:
        if isinstance(error, InputError):
            raise
        missing = f": {error.args[0]} is missing" if isinstance(error, KeyError) else ""
        raise InputError(f"The weights are laid out like no auto-encoder known here{missing}.") from error


def _config(naming: Naming, name: str, header: Mapping[str, str]) -> ModelConfig:
    """infer_config's, or whatever error it is to look for what is not there."""
    shapes = naming.shapes
    if naming.kind == "conv":
        return _conv(shapes)
    if naming.kind == "dc":
        return _dc(shapes, name)
    if naming.kind == "hunyuan":
        return _hunyuan(shapes, name)
    if naming.kind == "wan":
        return _wan(shapes, name)
    if naming.kind == "tiny":
        return latent_spaces.in_space(_tiny(shapes), name)
    config = _kl(shapes)
    fields = config.to_dict()
    if naming.kind == "vq":
        entries = shapes[CODEBOOK][0]
        norm_type = "spatial" if "decoder.conv_norm_out.conv_y.weight" in shapes else "group"
        return VQConfig(**fields | {"scaling_factor": None}, num_vq_embeddings=entries, norm_type=norm_type)
    if naming.kind == "notebook":
        fields |= {"norm_eps": 1e-5, "act_fn": "selu", "act_twice": False, "sample_size": 56, "scaling_factor": 0.18215}
        return KLConfig(**fields)
    if "bn.running_mean" in shapes:
        per_patch = shapes["bn.running_mean"][0] // config.latent_channels
        side = math.isqrt(per_patch)
        widths = _decoder_widths(shapes)
        del fields["sample_size"]
        decoder_widths = None if widths == config.block_out_channels else widths
        flux2 = Flux2Config(**fields, patch_size=(side, side), decoder_block_out_channels=decoder_widths)
        return latent_spaces.in_space(flux2, name)
    fields |= latent_spaces.scaling(config.latent_channels, name, naming.companions, header)
    return latent_spaces.in_space(KLConfig(**fields), name)


def _count(shapes: dict[str, Shape], *patterns: str) -> int:
    """How many of pattern.format(0), pattern.format(1), … there are before the first gap, of any of the patterns."""
    return next(i for i in range(1 + len(shapes)) if all(pattern.format(i) not in shapes for pattern in patterns))


def _decoder_widths(shapes: dict[str, Shape]) -> tuple[int, ...]:
    levels = _count(shapes, "decoder.up_blocks.{}.resnets.0.conv1.weight")
    return tuple(shapes[f"decoder.up_blocks.{i}.resnets.0.conv1.weight"][0] for i in reversed(range(levels)))


def _kl(shapes: dict[str, Shape]) -> KLConfig:
    levels = _count(shapes, "encoder.down_blocks.{}.resnets.0.conv1.weight")
    widths = tuple(shapes[f"encoder.down_blocks.{i}.resnets.0.conv1.weight"][0] for i in range(levels))
    down = tuple(_count(shapes, f"encoder.down_blocks.{i}.resnets.{{}}.conv1.weight") for i in range(levels))
    up = tuple(_count(shapes, f"decoder.up_blocks.{i}.resnets.{{}}.conv1.weight") for i in range(levels))
    if any(width % 32 for width in widths):
        raise InputError(
            f"Widths {list(widths)} are no multiples of 32, so the number of normalisation groups cannot be told from "
            "the weights alone; put the config.json beside them."
        )
    usual = down[-1]
    inner = shapes["decoder.conv_in.weight"][1]
    latent = shapes.get("post_quant_conv.weight", (inner, inner))[1]

    def attention(part: str) -> tuple[bool, ...] | None:
        found = tuple(f"{part}.{i}.attentions.0.to_q.weight" in shapes for i in range(levels))
        return found if any(found) else None

    return KLConfig(
        in_channels=shapes["encoder.conv_in.weight"][1],
        out_channels=shapes["decoder.conv_out.weight"][0],
        block_out_channels=widths,
        layers_per_block=usual,
        encoder_layers=None if set(down) == {usual} else down,
        decoder_layers=None if set(up) == {usual + 1} else up,
        encoder_attention=attention("encoder.down_blocks"),
        decoder_attention=attention("decoder.up_blocks"),
        latent_channels=latent,
        z_channels=None if inner == latent else inner,
        use_quant_conv="quant_conv.weight" in shapes,
        use_post_quant_conv="post_quant_conv.weight" in shapes,
        mid_block_add_attention="encoder.mid_block.attentions.0.to_q.weight" in shapes,
    )


def _tiny(shapes: dict[str, Shape]) -> TinyConfig:
    """Blocks are counted between plain convolutions; the decoder's second layer, and its upsamplings, hold nothing."""

    def stages(half: str) -> tuple[list[int], list[int]]:
        kinds = {}
        for key in shapes:
            match = re.match(rf"{half}\.layers\.(\d+)\.(conv\.0\.)?weight", key)
            if match:
                kinds[int(match[1])] = "block" if match[2] else "conv"
        counts: list[int] = []
        convs = [i for i in sorted(kinds) if kinds[i] == "conv"]
        for start, end in pairwise(convs):
            counts.append(sum(kinds.get(i) == "block" for i in range(start, end)))
        return counts, convs

    down, down_convs = stages("encoder")
    up, up_convs = stages("decoder")
    first, last = (shapes[f"encoder.layers.{down_convs[at]}.weight"] for at in (0, -1))
    out = shapes[f"decoder.layers.{up_convs[-1]}.weight"]
    # Layers without weights: patches are made before the first convolution, and after strided ones there is a ReLU.
    stem = "patches" if down_convs[0] else "strided" if down_convs[1] == 2 and down[0] == 0 else "plain"
    if stem == "strided":
        down, down_convs = down[1:], down_convs[1:]
    square = 4 if stem == "patches" else 1
    return TinyConfig(
        in_channels=first[1] // square,
        out_channels=out[0] // square,
        encoder_block_out_channels=tuple(shapes[f"encoder.layers.{i}.weight"][0] for i in down_convs[:-1]),
        decoder_block_out_channels=tuple(shapes[f"decoder.layers.{i}.weight"][0] for i in up_convs[:-1]),
        num_encoder_blocks=tuple(down),
        num_decoder_blocks=tuple(up),
        latent_channels=last[0],
        mid_block_pool=any(".pool." in key for key in shapes),
        stem=stem,
    )


def _dc(shapes: dict[str, Shape], name: str) -> ModelConfig:
    config = dc_config(shapes)
    return latent_spaces.in_space(replace(config, scaling_factor=latent_spaces.dc_scaling(config, name)), name)


def _hunyuan(shapes: dict[str, Shape], name: str) -> HunyuanConfig:
    row = _count(shapes, "encoder.down_blocks.{}.conv1.weight", "encoder.down_blocks.{}.conv.weight")
    found = [shapes.get(f"encoder.down_blocks.{i}.conv1.weight") for i in range(row)]
    widths = [shape[0] for shape, after in pairwise([*found, None]) if shape and after is None]  # a level's last block
    config = HunyuanConfig(
        in_channels=shapes["encoder.conv_in.weight"][1],
        out_channels=shapes["decoder.conv_out.weight"][0],
        latent_channels=shapes["decoder.conv_in.weight"][1],
        block_out_channels=tuple(widths),
        layers_per_block=_count(shapes, "encoder.down_blocks.{}.conv1.weight"),
    )
    return replace(config, scaling_factor=latent_spaces.hunyuan_scaling(config, name))


def _wan(shapes: dict[str, Shape], name: str) -> WanConfig:
    """Level by level; Qwen-Image's network is Wan's, and only the name tells which it is."""
    base, latent = shapes["encoder.conv_in.weight"][0], shapes["decoder.conv_in.weight"][1]
    if "encoder.down_blocks.0.resnets.0.conv1.weight" in shapes:
        return _residual_wan(shapes)
    widths, depth, timed = [base], [0], []
    for i in range(_count(shapes, "encoder.down_blocks.{}.conv1.bias", "encoder.down_blocks.{}.resample.1.bias")):
        width = shapes.get(f"encoder.down_blocks.{i}.conv1.bias")
        if width is not None:
            widths[-1], depth[-1] = width[0], depth[-1] + 1
        else:
            timed.append(f"encoder.down_blocks.{i}.time_conv.weight" in shapes)
            widths.append(0)
            depth.append(0)
    decoder = shapes["decoder.norm_out.gamma"][0] * base // widths[0]
    published = (base, latent) == (WanConfig.base_dim, WanConfig.z_dim)
    config = WanConfig(
        in_channels=shapes["encoder.conv_in.weight"][1],
        out_channels=shapes["decoder.conv_out.weight"][0],
        base_dim=base,
        decoder_base_dim=None if decoder == base else decoder,
        z_dim=latent,
        dim_mult=tuple(width // base for width in widths),
        num_res_blocks=depth[0],
        temperal_downsample=tuple(timed),
        scaling_factor=1.0 if published else None,
        latents_mean=WanConfig.latents_mean if published else None,
        latents_std=WanConfig.latents_std if published else None,
    )
    qwen = "qwen" in name.lower() and config.decoder_base_dim is None and config.in_channels == config.out_channels
    return latent_spaces.in_space(QwenImageConfig(**config.to_dict()) if qwen else config, name)


def _residual_wan(shapes: dict[str, Shape]) -> WanConfig:
    """Wan 2.2's and Qwen-Image 2.1's, whose kernels see a single frame. Twelve channels are patches of 2x2."""
    level = "encoder.down_blocks.{}.resnets.0.conv1.weight"
    count, base = _count(shapes, level), shapes["encoder.conv_in.weight"][0]
    into, out = shapes["encoder.conv_in.weight"][1], shapes["decoder.conv_out.weight"][0]
    patch = 2 if (into, out) == (12, 12) else None
    factors = [shapes[level.format(i)][0] // base for i in range(count)]
    kind = WanConfig if "encoder.conv_in.earlier" in shapes else QwenImage21Config
    latent = shapes["decoder.conv_in.weight"][1]
    published = kind is QwenImage21Config and (base, latent) == (kind.base_dim, kind.z_dim)
    return kind(
        in_channels=into // (patch or 1) ** 2,
        out_channels=out // (patch or 1) ** 2,
        base_dim=base,
        decoder_base_dim=shapes["decoder.norm_out.gamma"][0] // factors[0],
        z_dim=latent,
        dim_mult=tuple(factors),
        num_res_blocks=_count(shapes, "encoder.down_blocks.0.resnets.{}.conv1.weight"),
        temperal_downsample=tuple(
            f"encoder.down_blocks.{i}.downsampler.time_conv.weight" in shapes for i in range(count - 1)
        ),
        is_residual=True,
        patch_size=patch,
        scaling_factor=1.0 if published else None,
        latents_mean=kind.latents_mean if published else None,
        latents_std=kind.latents_std if published else None,
    )


def _conv(shapes: dict[str, Shape]) -> ConvConfig:
    shapes = {"encoder.0.1.0.weight": (), **shapes}  # the first level alone has no pooling in front
    levels = _count(shapes, "encoder.{}.1.0.weight")
    widths = [shapes["encoder.0.0.0.weight"][1], shapes["encoder.0.0.0.weight"][0]]
    widths += [shapes[f"encoder.{i}.1.0.weight"][0] for i in range(1, levels)]
    variational = f"encoder.{levels}.weight" in shapes
    if variational:
        widths[-1] //= 2
    return ConvConfig(features=tuple(widths), variational=variational)
