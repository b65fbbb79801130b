"""Every family at its smallest: whether a graph can be made of a network depends on its layers, not on their widths."""

import torch

from vae.models import AutoEncoder, ModelConfig, build
from vae.models.autoencoder_dc import DCConfig
from vae.models.autoencoder_hunyuan import HunyuanConfig
from vae.models.autoencoder_kl import Flux2Config, KLConfig
from vae.models.autoencoder_qwen21 import QwenImage21Config
from vae.models.autoencoder_wan import QwenImageConfig, WanConfig
from vae.models.conv import ConvConfig
from vae.models.tiny import TinyConfig
from vae.models.vq_model import VQConfig

KL = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
TINY = {"encoder_block_out_channels": (8,) * 2, "decoder_block_out_channels": (8,) * 2}
TINY |= {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
LONG = {"decoder_block_out_channels": (8,) * 4, "num_decoder_blocks": (1,) * 4}
DC = {
    "latent_channels": 4,
    "attention_head_dim": 2,
    "decoder_norm_types": ("rms_norm",) * 3,
    "decoder_act_fns": ("silu",) * 3,
}
for half in ("encoder", "decoder"):
    DC |= {f"{half}_block_types": ("ResBlock", "ResBlock", "EfficientViTBlock"), f"{half}_block_out_channels": (8,) * 3}
    DC |= {f"{half}_layers_per_block": (0, 1, 1), f"{half}_qkv_multiscales": ((), (), ())}
WAN = {"base_dim": 4, "z_dim": 2, "num_res_blocks": 1, "latents_mean": None, "latents_std": None}
WAN |= {"dim_mult": (1, 1), "temperal_downsample": (True,), "decoder_base_dim": None}
VQ = {"block_out_channels": (32, 32), "layers_per_block": 1, "num_vq_embeddings": 20}

FAMILIES: dict[str, ModelConfig] = {
    "conv": ConvConfig(features=(1, 4, 8, 2), sample_size=16, border=0),
    "kl": KLConfig(**KL),
    "kl with attention in a level": KLConfig(**KL, encoder_attention=(False, True), decoder_attention=(True, False)),
    "kl that reflects": KLConfig(**KL, padding_mode="reflect"),
    "flux2": Flux2Config(**KL, latent_channels=4),
    "vq": VQConfig(**VQ),
    "movq": VQConfig(**VQ, norm_type="spatial"),
    "wan": WanConfig(**WAN),
    "wan 2.2": WanConfig(**WAN, is_residual=True, patch_size=2),
    "qwen": QwenImageConfig(**WAN),
    "qwen 2.1": QwenImage21Config(**WAN),
    "hunyuan": HunyuanConfig(block_out_channels=(32, 32), layers_per_block=1, latent_channels=4),
    "tiny": TinyConfig(**TINY, mid_block_pool=True),
    "tiny with patches": TinyConfig(**TINY, stem="patches"),
    "tiny with strides": TinyConfig(**TINY | LONG, stem="strided"),
    "dc": DCConfig(**DC, sample_size=16),  # rounds sizes up; many a pixel's queries are all 0 after the ReLU
}


def made(config: ModelConfig) -> AutoEncoder:
    torch.manual_seed(0)
    return build(config).eval().requires_grad_(False).to(memory_format=torch.channels_last)


def examples(model: AutoEncoder, n: int, height: int = 16, width: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and latents, n of each: more pixels than the networks' short cuts for the CPU begin at, from 9 on."""
    generator = torch.Generator().manual_seed(n)
    x = torch.rand(n, model.in_channels, height, width, generator=generator) * 2 - 1
    return x, torch.randn(n, *model.latent_shape(height, width), generator=generator)
