"""config.json as diffusers writes it, translated from and to our configs."""

import json
from dataclasses import replace

from vae.checkpoints.latent_spaces import in_space
from vae.errors import InputError
from vae.models import FAMILIES, ModelConfig, config_from_dict
from vae.models.autoencoder_kl import Flux2Config, KLConfig
from vae.models.base import MAX_SIZE
from vae.models.tiny import TinyConfig

# diffusers' defaults, where they are not ours: what a config.json of theirs means by leaving a field out.
DIFFUSERS_DEFAULTS = {
    "AutoencoderKL": {
        "block_out_channels": [64],
        "layers_per_block": 1,
        "sample_size": 32,
        "scaling_factor": 0.18215,
        "force_upcast": True,
    },
    "AutoencoderKLFlux2": {},
    "AutoencoderTiny": {},
}
# The kinds of levels: without and with attention.
BLOCK_TYPES = {
    "down_block_types": ("encoder_attention", "DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("decoder_attention", "UpDecoderBlock2D", "AttnUpDecoderBlock2D"),
}
FIXED = {
    "upsample_fn": "nearest",
    "upsampling_scaling_factor": 2,
}

TINY_FIELDS = (
    "in_channels",
    "out_channels",
    "encoder_block_out_channels",
    "decoder_block_out_channels",
    "num_encoder_blocks",
    "num_decoder_blocks",
    "latent_channels",
    "scaling_factor",
    "shift_factor",
)
KL_FIELDS = (
    "in_channels",
    "out_channels",
    "block_out_channels",
    "layers_per_block",
    "latent_channels",
    "norm_num_groups",
    "act_fn",
    "sample_size",
    "use_quant_conv",
    "use_post_quant_conv",
    "mid_block_add_attention",
)
SCALING_FIELDS = ("scaling_factor", "shift_factor", "latents_mean", "latents_std", "force_upcast")
FLUX2_FIELDS = ("decoder_block_out_channels", "patch_size", "batch_norm_eps", "batch_norm_momentum")


def read_config(entries: dict, name: str = "") -> ModelConfig:
    """The config in a config.json of ours or of diffusers, whose fields we translate.

    name: of the folder or repository; from TAESD's the latent space is told. Raises InputError for anything else.
    """
    kind = entries.get("_class_name") if isinstance(entries, dict) else None
    if not isinstance(kind, str) or "fixed_size" in entries or kind not in DIFFUSERS_DEFAULTS:
        return _with_whole_latents(entries)  # ours, or refused there with the list of what is known
    family = FAMILIES[kind][0]
    values = {**DIFFUSERS_DEFAULTS[kind]}
    for key, value in entries.items():
        if key in FIXED:
            if any(item != FIXED[key] for item in (value if isinstance(value, list) else [value])):
                raise InputError(f"The config's {key} is {json.dumps(value)[:80]}; only {FIXED[key]} is known.")
        elif key in BLOCK_TYPES:
            field, attention = _attention(key, value)
            if attention is not None:
                values[field] = attention
        elif key in family.__dataclass_fields__ and (value is not None or key == "scaling_factor"):
            values[key] = value
    if isinstance(values.get("sample_size"), list) and values["sample_size"]:
        values["sample_size"] = values["sample_size"][0]
    if kind == "AutoencoderTiny":
        if entries.get("act_fn", "relu") != "relu":
            raise InputError(f"The config's act_fn is {entries['act_fn']!r}; tiny auto-encoders here use relu.")
    elif values.get("act_fn") == "swish":
        values["act_fn"] = "silu"
    config = _with_whole_latents({"_class_name": kind, **values})
    return in_space(config, name)


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
    entries = {"_class_name": next(name for name, (family, _) in FAMILIES.items() if type(config) is family)}
    reason = None
    if isinstance(config, TinyConfig):
        reason = "TAEF2's pooled blocks" if config.mid_block_pool else None
        names = TINY_FIELDS
    elif isinstance(config, KLConfig):
        standard = replace(
            config, encoder_layers=None, decoder_layers=None, norm_eps=1e-6, act_twice=True, z_channels=None
        )
        reason = None if config == standard and config.act_fn != "selu" else "this variant of the network's blocks"
        names = (*KL_FIELDS, *(FLUX2_FIELDS if isinstance(config, Flux2Config) else SCALING_FIELDS))
        levels = len(config.block_out_channels)
        for name, (field, *kinds) in BLOCK_TYPES.items():
            entries[name] = [kinds[attends] for attends in getattr(config, field) or [False] * levels]
    else:
        reason = f"the {entries['_class_name']} family"
    if reason:
        raise InputError(
            f"diffusers has no class for {reason}; the model can only be saved in this library's own format."
        )
    values = config.to_dict()
    entries |= {name: values[name] for name in names}
    if isinstance(config, KLConfig) and config.padding_mode != "zeros":
        entries["padding_mode"] = config.padding_mode  # diffusers passes it over, as all programs but a few do
    if isinstance(config, KLConfig) and "shift_factor" in entries:
        entries["shift_factor"] = entries["shift_factor"] or None  # theirs for "none"
    return entries
