"""config.json as diffusers writes it, translated from and to our configs."""

import json
from dataclasses import dataclass, field, replace

from vae.checkpoints.latent_spaces import in_space
from vae.checkpoints.native_config import as_diffusers
from vae.errors import InputError
from vae.models import FAMILIES, ModelConfig, config_from_dict
from vae.models.autoencoder_dc import PER_LEVEL, DCConfig
from vae.models.autoencoder_hunyuan import HunyuanConfig
from vae.models.autoencoder_kl import KLConfig
from vae.models.autoencoder_wan import QwenImageConfig, WanConfig
from vae.models.base import MAX_SIZE
from vae.models.tiny import TinyConfig
from vae.models.vq_model import VQConfig


@dataclass(frozen=True)
class Theirs:
    """How a class of diffusers' writes its config. fields: those that it shares with ours. defaults: what it means by
    leaving a field out, where that is not our default. required: values that alone are known here. renamed: our fields
    for one of theirs, a later one's value counting."""

    fields: tuple[str, ...]
    defaults: dict = field(default_factory=dict)
    required: dict = field(default_factory=dict)
    renamed: dict = field(default_factory=dict)


_CHANNELS = ("in_channels", "out_channels")
_STATISTICS = ("latents_mean", "latents_std")
_VQ = (*_CHANNELS, "block_out_channels", "layers_per_block", "norm_num_groups", "act_fn", "sample_size")
_VQ += ("mid_block_add_attention",)
_KL = (*_VQ, "latent_channels", "use_quant_conv", "use_post_quant_conv")
_TINY = tuple(f"{part}_block_out_channels" for part in ("encoder", "decoder"))
_TINY += ("num_encoder_blocks", "num_decoder_blocks", "latent_channels", "scaling_factor", "shift_factor")
_WAN = ("base_dim", "z_dim", "dim_mult", "num_res_blocks", "temperal_downsample", *_STATISTICS)
_WAN22 = (*_WAN, *_CHANNELS, "decoder_base_dim", "is_residual", "patch_size")
_SMALL = {"block_out_channels": [64], "layers_per_block": 1, "sample_size": 32, "scaling_factor": 0.18215}

_DC = ("in_channels", "latent_channels", "attention_head_dim", "scaling_factor")
_DC += tuple(f"{half}_{key}" for half in ("encoder", "decoder") for key in PER_LEVEL)
_DC += ("upsample_block_type", "downsample_block_type", "decoder_norm_types", "decoder_act_fns")
_DC += ("encoder_out_shortcut", "decoder_in_shortcut", "decoder_conv_act_fn")
# Where one word may stand for all levels.
_DC_WORDS = dict.fromkeys(("encoder_block_types", "decoder_block_types"), "ResBlock")
_DC_WORDS |= {"decoder_norm_types": "rms_norm", "decoder_act_fns": "silu"}

THEIRS = {
    "AutoencoderDC": Theirs(_DC, _DC_WORDS),
    "AutoencoderKL": Theirs(
        (*_KL, "scaling_factor", "shift_factor", *_STATISTICS, "force_upcast"),
        _SMALL | {"force_upcast": True},
    ),
    "AutoencoderKLFlux2": Theirs(
        (*_KL, "decoder_block_out_channels", "patch_size", "batch_norm_eps", "batch_norm_momentum")
    ),
    "AutoencoderKLHunyuanImage": Theirs(
        (*_CHANNELS, "latent_channels", "block_out_channels", "layers_per_block", "sample_size", "scaling_factor"),
        {"scaling_factor": None},
        required={"downsample_match_channel": True, "upsample_match_channel": True},
    ),
    "AutoencoderKLQwenImage": Theirs(_WAN, required={"attn_scales": []}, renamed={"input_channels": _CHANNELS}),
    "AutoencoderKLQwenImage21": Theirs(_WAN22, required={"attn_scales": []}),
    "AutoencoderKLWan": Theirs(_WAN22, required={"attn_scales": []}),
    "AutoencoderTiny": Theirs(
        (*_CHANNELS, *_TINY), required={"act_fn": "relu", "upsample_fn": "nearest", "upsampling_scaling_factor": 2}
    ),
}
THEIRS["VQModel"] = Theirs(
    (*_VQ, "num_vq_embeddings", "scaling_factor", "norm_type", "force_upcast"),
    _SMALL | {"latent_channels": 3, "z_channels": 3},
    renamed={"latent_channels": ("latent_channels", "z_channels"), "vq_embed_dim": ("latent_channels",)},
)
# The kinds of levels: without and with attention.
BLOCK_TYPES = {
    "down_block_types": ("encoder_attention", "DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("decoder_attention", "UpDecoderBlock2D", "AttnUpDecoderBlock2D"),
}
NULLABLE = ("scaling_factor", "decoder_base_dim", *_STATISTICS)  # where null is not the same as nothing


def read_config(entries: dict, name: str = "") -> ModelConfig:
    """The config in a config.json of ours or of diffusers, whose fields we translate, or of Tencent's HunyuanImage.

    name: of the folder or repository; from TAESD's the latent space is told. Raises InputError for anything else.
    """
    entries = as_diffusers(entries)
    kind = entries.get("_class_name") if isinstance(entries, dict) else None
    if not isinstance(kind, str) or "fixed_size" in entries or kind not in THEIRS:
        return _with_whole_latents(entries)  # ours, or refused there with the list of what is known
    theirs, family = THEIRS[kind], FAMILIES[kind][0]
    values = {**theirs.defaults}
    for key, value in sorted(entries.items()):
        if key in theirs.required:
            if value != theirs.required[key]:
                shown = (json.dumps(said)[:80] for said in (value, theirs.required[key]))
                raise InputError("The config's {} is {}; only {} is known.".format(key, *shown))
        elif key in BLOCK_TYPES:
            name_of_ours, attention = _attention(key, value)
            if attention is not None:
                values[name_of_ours] = attention
        else:
            for ours in theirs.renamed.get(key, (key,)):
                if ours in family.__dataclass_fields__ and (value is not None or ours in NULLABLE):
                    values[ours] = value
    if isinstance(values.get("sample_size"), list) and values["sample_size"]:
        values["sample_size"] = values["sample_size"][0]
    for key in _DC_WORDS:
        if isinstance(values.get(key), str):
            widths = values.get("encoder_block_out_channels", DCConfig.encoder_block_out_channels)
            values[key] = [values[key]] * (len(widths) if isinstance(widths, list | tuple) else 1)
    if issubclass(family, WanConfig):
        values |= _of_pixels(values)
        if any(key in entries and entries[key] is None for key in _STATISTICS):
            values["scaling_factor"] = None  # of theirs these are all that tells the scaling
    if values.get("act_fn") == "swish":
        values["act_fn"] = "silu"
    config = _with_whole_latents({"_class_name": kind, **values})
    if isinstance(config, HunyuanConfig) and entries.get("spatial_compression_ratio") not in (None, config.downscale):
        raise InputError(
            f"The config's spatial_compression_ratio is {json.dumps(entries['spatial_compression_ratio'])[:80]}; "
            f"{len(config.block_out_channels)} levels reduce an image by {config.downscale}."
        )
    return in_space(config, name)


def _of_pixels(values: dict) -> dict:
    """Wan's channels as an image has them, where the config has those of a patch's pixels all together."""
    patch = values.get("patch_size")
    square = patch**2 if type(patch) is int and 1 <= patch <= 16 else 1
    found = {name: values[name] for name in _CHANNELS if type(values.get(name)) is int}
    if any(channels % square for channels in found.values()):
        raise InputError(f"The config's {' and '.join(found)} must be multiples of {square}, patch_size's square.")
    return {name: channels // square for name, channels in found.items()}


def _by_channel(config: WanConfig) -> dict:
    """The scaling as latents_mean and latents_std, which are all that Wan's classes have; None where it is unknown."""
    factor, mean, std = config.scaling_factor, config.latents_mean, config.latents_std
    if factor is None:
        return dict.fromkeys(_STATISTICS)
    if mean is None or std is None:
        mean, std = (config.shift_factor,) * config.z_dim, (1.0,) * config.z_dim
    return {"latents_mean": mean, "latents_std": tuple(spread / factor for spread in std)}


def _attention(key: str, types: object) -> tuple[str, tuple[bool, ...] | None]:
    """A field of ours, and which levels have attention, None if none has: from diffusers' names of their kinds."""
    field, plain, attending = BLOCK_TYPES[key]
    if not isinstance(types, list | tuple) or not all(kind in (plain, attending) for kind in types):
        raise InputError(f"The config's {key} is {json.dumps(types)[:80]}; known are {plain} and {attending}.")
    return field, tuple(kind == attending for kind in types) if attending in types else None


def _with_whole_latents(entries: dict) -> ModelConfig:
    """config_from_dict's config; where the model takes any size, with a sample_size that the network can halve.

    There it is only the size of what is shown or drawn unless another is asked for, and published configs have any.
    """
    size = entries.get("sample_size") if isinstance(entries, dict) else None
    if type(size) is not int or size < 1:
        return config_from_dict(entries)
    config = config_from_dict({**entries, "sample_size": MAX_SIZE})  # a power of two, which every network can halve
    if config.fixed_size:
        return config_from_dict(entries)
    return replace(config, sample_size=max(1, min(size, MAX_SIZE) // config.downscale) * config.downscale)


def diffusers_config(config: ModelConfig) -> dict:
    """The config.json with which diffusers opens the same network. InputError if diffusers has no class for it."""
    kind = next(name for name, (family, _) in FAMILIES.items() if type(config) is family)
    entries, reason, per_patch = {"_class_name": kind}, None, 1
    if isinstance(config, TinyConfig):
        reason = "TAEF2's pooled blocks" if config.mid_block_pool else None
        reason = reason if config.stem == "plain" else "the first layers of TAESana and TAEQI2.1"
    elif isinstance(config, KLConfig):
        standard = replace(
            config, encoder_layers=None, decoder_layers=None, norm_eps=1e-6, act_twice=True, z_channels=None
        )
        if isinstance(config, VQConfig):
            standard = replace(standard, z_channels=config.z_channels)
            entries |= {"latent_channels": config.inner_channels, "vq_embed_dim": config.latent_channels}
        reason = None if config == standard and config.act_fn != "selu" else "this variant of the network's blocks"
        for key, (ours, *kinds) in BLOCK_TYPES.items():
            attention = getattr(config, ours) or [False] * len(config.block_out_channels)
            entries[key] = [kinds[attends] for attends in attention]
    elif isinstance(config, HunyuanConfig):
        entries["spatial_compression_ratio"] = config.downscale
    elif isinstance(config, QwenImageConfig):
        entries["input_channels"] = config.in_channels
    elif isinstance(config, WanConfig):
        per_patch = (config.patch_size or 1) ** 2
        entries["scale_factor_spatial"] = config.downscale
        entries["scale_factor_temporal"] = 2 ** sum(config.temperal_downsample)
    elif not isinstance(config, DCConfig):
        reason = f"the {kind} family"
    if reason:
        formats = "taesd, or as this library has it" if isinstance(config, TinyConfig) else "this library's own"
        raise InputError(f"diffusers has no class for {reason}; the model can only be saved in the format {formats}.")
    values = config.to_dict()
    if isinstance(config, WanConfig):
        values |= _by_channel(config)
    entries |= {name: values[name] for name in THEIRS[kind].fields}
    if per_patch > 1:
        entries |= {name: per_patch * values[name] for name in _CHANNELS}
    for key in _DC_WORDS if isinstance(config, DCConfig) else ():
        entries[key] = entries[key][0] if len(set(entries[key])) == 1 else entries[key]
    if isinstance(config, KLConfig) and config.padding_mode != "zeros":
        entries["padding_mode"] = config.padding_mode  # diffusers passes it over, as all programs but a few do
    if isinstance(config, KLConfig) and "shift_factor" in entries:
        entries["shift_factor"] = entries["shift_factor"] or None  # theirs for "none"
    return entries
