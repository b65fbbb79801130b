"""Which diffusion models' latents an auto-encoder's are: told by its config, its name or what else its file holds.

Several families share one network, so tensors alone say nothing: SD's file and SDXL's have the same names and shapes.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from vae.models import KL_PRESETS, ModelConfig
from vae.models.autoencoder_dc import DCConfig
from vae.models.autoencoder_hunyuan import HunyuanConfig
from vae.models.autoencoder_kl import Flux2Config, KLConfig
from vae.models.autoencoder_qwen21 import LATENTS_MEAN as QWEN21_MEAN
from vae.models.autoencoder_qwen21 import QwenImage21Config
from vae.models.autoencoder_wan import LATENTS_MEAN, WanConfig
from vae.models.tiny import TinyConfig

# Latent spaces by (channels, scaling_factor, shift_factor), which is how diffusers' configs tell them apart.
LATENT_SPACES = {
    (4, 0.18215, 0.0): "sd",
    (4, 0.13025, 0.0): "sdxl",
    (16, 1.5305, 0.0609): "sd3",
    (16, 0.3611, 0.1159): "flux1",
}
# TAESD's files and repositories say in their names whose latents they share.
TINY_SPACES = {"taesd": "sd", "taesdxl": "sdxl", "taesd3": "sd3", "taef1": "flux1", "taef2": "flux2"}
TINY_SPACES |= {"taesana": "sana", "taeqi2_1": "qwen21"}
SANA = (32, 32, 0.41407)  # a latent pixel's side in pixels, channels, scaling factor
# Scaling factors of the deep-compression auto-encoders (f: that side, c: channels), by what their names have in common.
DC_SCALINGS = {"f32c32-sana": SANA[2], "f32c32-in": 0.3189, "f32c32-mix": 0.4552, "f64c128-in": 0.2889}
DC_SCALINGS |= {"f64c128-mix": 0.4538, "f128c512-in": 0.4883, "f128c512-mix": 0.362}
HUNYUAN_SCALING = 0.75289

# What tells a file's family, the first that is found: tensors that the file holds beside the auto-encoder's, the
# architecture that its header names (the modelspec standard), and its own name.
COMPANIONS = {
    "sdxl": r"conditioner\.",
    "sd3": r".*\.joint_blocks\.",
    "flux1": r".*\.double_blocks\.",
    "sd": r"cond_stage_model\.",
}
ARCHITECTURES = {
    "sdxl": r"stable-diffusion-xl",
    "sd3": r"stable-diffusion-v3|stable-diffusion-3",
    "flux1": r"flux-?\.?1",
    "sd": r"stable-diffusion-v[12]",
}
NAMES = {
    "sdxl": r"sd-?xl|stable-diffusion-xl|(^|[^a-z])xl([^a-z]|$)",
    "sd3": r"sd-?v?3|stable-diffusion-v?3",
    "flux1": r"flux-?v?1|flux-(dev|schnell)|^ae-(safetensors|sft)$",
    "sd": r"sd-?v?(1|14|15|2|20|21)([^0-9]|$)|stable-diffusion-v?[12]([^0-9]|$)|^v[12]-[0-9]|vae-ft-(mse|ema)|kl-f8",
}


def in_space(config: ModelConfig, name: str) -> ModelConfig:
    """The config with the latent space it is known to be in, if any. name: of its file, folder or repository."""
    space = None
    if isinstance(config, TinyConfig):
        match = re.search(r"tae(sdxl|sd3|sana|sd|f1|f2|qi2_1)(?![a-z0-9])", name.lower())
        space = TINY_SPACES[match[0]] if match else None
    elif type(config) in (KLConfig, Flux2Config) and config.block_out_channels == KL_PRESETS["sd"].block_out_channels:
        known = (config.latent_channels, config.scaling_factor, config.shift_factor)
        space = "flux2" if isinstance(config, Flux2Config) else LATENT_SPACES.get(known)
    elif isinstance(config, WanConfig) and (config.base_dim, config.latents_mean) == (96, LATENTS_MEAN):
        space = "wan21"
    elif isinstance(config, QwenImage21Config) and config.latents_mean == QWEN21_MEAN:
        space = "qwen21"
    elif isinstance(config, DCConfig) and (config.downscale, config.latent_channels, config.scaling_factor) == SANA:
        space = "sana"
    return replace(config, latent_space=space)


def dc_scaling(config: DCConfig, name: str) -> float | None:
    """The scaling factor of a deep-compression auto-encoder, by its published name; None, unknown, by others."""
    found = re.search(rf"f{config.downscale}c{config.latent_channels}-(in|mix|sana)(?![a-z])", name.lower())
    return DC_SCALINGS.get(found[0]) if found else None


def hunyuan_scaling(config: HunyuanConfig, name: str) -> float | None:
    """The same for HunyuanImage 2.1's."""
    published = config.block_out_channels == HunyuanConfig.block_out_channels
    return HUNYUAN_SCALING if published and re.search(r"hunyuan[-_ ]?image", name.lower()) else None


def scaling(channels: int, name: str, companions: Iterable[str], header: Mapping[str, str]) -> dict:
    """The fields of a KLConfig that go with the family of a file without a config; where nothing tells the family, a
    scaling factor of None, for unknown."""
    offered = {space: entry for entry, space in LATENT_SPACES.items() if entry[0] == channels}
    words = re.sub(r"[^a-z0-9]+", "-", name.lower())
    space = _told(offered, companions, header.get("modelspec.architecture", ""), words)
    if space is None:
        return {"scaling_factor": None}
    _, factor, shift = offered[space]
    usual = {} if space == "sd" else {"sample_size": 1024, "force_upcast": space == "sdxl"}
    return {"scaling_factor": factor, "shift_factor": shift, **usual}


def _told(offered: Iterable[str], companions: Iterable[str], architecture: str, name: str) -> str | None:
    for space in offered:
        if any(re.match(COMPANIONS[space], tensor) for tensor in companions):
            return space
    for patterns, text in ((ARCHITECTURES, architecture.lower()), (NAMES, name)):
        found = [space for space in offered if re.search(patterns[space], text)]
        if found:
            return found[0] if len(found) == 1 else None  # a name with two families in it tells nothing
    return None
