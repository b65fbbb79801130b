"""diffusers' auto-encoders of every family at small widths, each behind the same three functions."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from peers import WIDTHS, randomise
from torch import Tensor, nn


@dataclass(frozen=True)
class Peer:
    """make: the network with random weights. edit: what its config.json says beside what diffusers writes.
    lone: whether its tensors alone tell the network."""

    make: Callable[[], nn.Module]
    edit: dict | None = None
    lone: bool = True


def _kl(down: str, up: str, **fields) -> nn.Module:
    """down, up: a letter for each level, A where it has attention."""
    from diffusers import AutoencoderKL

    kinds = {"A": "Attn", "-": ""}
    fields = {"block_out_channels": WIDTHS, "layers_per_block": 1} | fields
    return AutoencoderKL(
        down_block_types=[f"{kinds[letter]}DownEncoderBlock2D" for letter in down],
        up_block_types=[f"{kinds[letter]}UpDecoderBlock2D" for letter in up],
        **fields,
    )


def reflecting(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.padding not in (0, (0, 0)):
            module.padding_mode = "reflect"
    return model


def _video(name: str, **fields) -> nn.Module:
    import diffusers

    fields = {"base_dim": 8, "z_dim": 4, "dim_mult": [1, 2, 2], "temperal_downsample": [False, True]} | fields
    statistics = {"latents_mean": [0.5] * fields["z_dim"], "latents_std": [2.0] * fields["z_dim"]}
    return getattr(diffusers, name)(num_res_blocks=1, **statistics | fields)


def _vq(**fields) -> nn.Module:
    from diffusers import VQModel

    kinds = {"down_block_types": ["DownEncoderBlock2D", "AttnDownEncoderBlock2D"]}
    kinds |= {"up_block_types": ["AttnUpDecoderBlock2D", "UpDecoderBlock2D"]}
    return VQModel(**kinds, block_out_channels=(32, 64), num_vq_embeddings=40, **fields)


def _dc(depth: int, **fields) -> nn.Module:
    """depth: of the first level."""
    from diffusers import AutoencoderDC

    shape = {"latent_channels": 8, "attention_head_dim": 8}
    for half in ("encoder", "decoder"):
        shape[f"{half}_block_types"] = ["ResBlock", "ResBlock", "EfficientViTBlock"]
        shape[f"{half}_block_out_channels"] = [8, 16, 32]
        shape[f"{half}_layers_per_block"] = [depth, 1, 2]
        shape[f"{half}_qkv_multiscales"] = [[], [], [3]]
    return AutoencoderDC(**shape | fields)


def _hunyuan() -> nn.Module:
    from diffusers import AutoencoderKLHunyuanImage

    shape = {"in_channels": 3, "out_channels": 3, "latent_channels": 8, "block_out_channels": (32, 64, 64)}
    return AutoencoderKLHunyuanImage(
        **shape, layers_per_block=2, spatial_compression_ratio=4, sample_size=32, scaling_factor=0.75289
    )


SANA = {"downsample_block_type": "Conv", "upsample_block_type": "interpolate", "scaling_factor": 0.41407}
IN = {"decoder_norm_types": ["batch_norm", "batch_norm", "rms_norm"], "decoder_act_fns": ["relu", "relu", "silu"]}
TWO_LEVELS = {"decoder_base_dim": 12, "dim_mult": [1, 2], "temperal_downsample": [True]}
TWO_LEVELS |= {"scale_factor_spatial": 2, "scale_factor_temporal": 2}

RESIDUAL = {"is_residual": True, "scale_factor_spatial": 4, "scale_factor_temporal": 2}
PATCHES = RESIDUAL | {"in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 8}

PEERS = {
    "attention in levels": Peer(lambda: _kl("--A", "A--", layers_per_block=2, latent_channels=6)),
    "attention in some levels": Peer(lambda: _kl("A-A", "--A", mid_block_add_attention=False)),
    "reflect": Peer(lambda: reflecting(_kl("---", "---")), {"padding_mode": "reflect"}, lone=False),
    "VQ": Peer(lambda: _vq(latent_channels=3, vq_embed_dim=4)),
    "MoVQ": Peer(lambda: _vq(latent_channels=4, vq_embed_dim=4, norm_type="spatial")),
    "DC as in Sana": Peer(lambda: _dc(2, **SANA)),
    "DC with no first level": Peer(lambda: _dc(0, **IN)),
    "HunyuanImage": Peer(_hunyuan),
    "Qwen-Image 2.1": Peer(lambda: _video("AutoencoderKLQwenImage21", **RESIDUAL, decoder_base_dim=16)),
    "Wan 2.2": Peer(lambda: _video("AutoencoderKLWan", **PATCHES)),
    "Qwen-Image": Peer(lambda: _video("AutoencoderKLQwenImage", input_channels=4)),
    "Wan": Peer(lambda: _video("AutoencoderKLWan", **TWO_LEVELS)),
}


def peer(name: str) -> nn.Module:
    return randomise(PEERS[name].make())


@torch.no_grad()
def encode(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Mean and logvar of images (N, C, H, W), None where the posterior is a point."""
    if hasattr(model, "quantize"):
        return model.quantize(model.encode(x).latents)[0], None
    encoded = model.encode(x.unsqueeze(2) if (video := hasattr(model, "temperal_downsample")) else x)
    if hasattr(encoded, "latent"):
        return encoded.latent, None
    posterior = encoded.latent_dist
    moments = posterior.mean, posterior.logvar
    return tuple(part.squeeze(2) for part in moments) if video else moments


@torch.no_grad()
def decode(model: nn.Module, z: Tensor) -> Tensor:
    video = hasattr(model, "temperal_downsample")
    return model.decode(z.unsqueeze(2)).sample.squeeze(2) if video else model.decode(z).sample
