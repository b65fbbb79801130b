"""Networks to compare with: diffusers' at small widths, the notebook's rebuilt, and namings that others use."""

import json
import re
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

torch.set_num_threads(1)  # the networks are tiny, and on a busy machine threads wait for each other

WIDTHS = (32, 64, 64)
LEVELS = {"down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3}

# What sets the public families apart, at small widths.
KL_FAMILIES = {
    "sd": {"latent_channels": 4, "scaling_factor": 0.18215},
    "sdxl": {"latent_channels": 4, "scaling_factor": 0.13025, "force_upcast": True},
    "sd3": {
        "latent_channels": 16,
        "scaling_factor": 1.5305,
        "shift_factor": 0.0609,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
    "flux1": {
        "latent_channels": 16,
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
    "without attention": {"latent_channels": 3, "mid_block_add_attention": False},
    "with statistics": {"latent_channels": 2, "latents_mean": [0.5, -1.0], "latents_std": [2.0, 3.0]},
}


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights that leave no layer without effect: norms and biases are random too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                parameter.copy_(0.3 * noise + (1.0 if name.endswith("weight") else 0.0))
        for name, buffer in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return model.eval().requires_grad_(False)


def diffusers_kl(layers_per_block: int = 1, widths=WIDTHS, **family) -> nn.Module:
    from diffusers import AutoencoderKL

    levels = {key: value[: len(widths)] for key, value in LEVELS.items()}
    return randomise(AutoencoderKL(**levels, block_out_channels=widths, layers_per_block=layers_per_block, **family))


def diffusers_flux2(**extra) -> nn.Module:
    from diffusers import AutoencoderKLFlux2

    return randomise(
        AutoencoderKLFlux2(**LEVELS, block_out_channels=WIDTHS, layers_per_block=1, latent_channels=8, **extra)
    )


def diffusers_tiny(latent_channels: int = 4, width: int = 16) -> nn.Module:
    from diffusers import AutoencoderTiny

    widths = (width,) * 4
    return randomise(
        AutoencoderTiny(
            encoder_block_out_channels=widths, decoder_block_out_channels=widths, latent_channels=latent_channels
        )
    )


def assert_same(ours, theirs, atol: float = 1e-4) -> None:
    """Mean, logvar and decode of a model of ours and one of diffusers agree, on sizes that are awkward too."""
    for height, width in ((32, 32), (32, 56), (45, 27)):
        generator = torch.Generator().manual_seed(height + width)
        x = torch.rand(2, 3, height, width, generator=generator) * 2 - 1
        posterior, encoded = ours.encode(x), theirs.encode(x)
        if hasattr(encoded, "latents"):
            torch.testing.assert_close(posterior.mean, encoded.latents, atol=atol, rtol=0)
        else:
            torch.testing.assert_close(posterior.mean, encoded.latent_dist.mean, atol=atol, rtol=0)
            torch.testing.assert_close(posterior.logvar, encoded.latent_dist.logvar, atol=atol, rtol=0)
        assert tuple(posterior.mean.shape[1:]) == ours.latent_shape(height, width)
        z = torch.randn(posterior.mean.shape, generator=generator)
        torch.testing.assert_close(ours.decode(z), theirs.decode(z).sample, atol=atol, rtol=0)


def to_compvis(state: dict, levels: int = len(WIDTHS)) -> dict:
    """diffusers' names -> those of the original latent-diffusion code; attention as 1x1 convolutions."""
    inner = {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out", "group_norm": "norm"}
    renamed = {}
    for name, tensor in state.items():
        name = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", name)
        name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0\.", r"down.\1.downsample.", name)
        name = re.sub(r"up_blocks\.(\d)\.resnets\.", lambda m: f"up.{levels - 1 - int(m[1])}.block.", name)
        name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0\.", lambda m: f"up.{levels - 1 - int(m[1])}.upsample.", name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        name = re.sub(r"down_blocks\.(\d)\.attentions\.", r"down.\1.attn.", name)
        name = re.sub(r"up_blocks\.(\d)\.attentions\.", lambda m: f"up.{levels - 1 - int(m[1])}.attn.", name)
        name = name.replace("mid_block.attentions.0.", "mid.attn_1.")
        name = name.replace(".spatial_norm.", ".group_norm.")
        match = re.search(r"(attn(?:_1|\.\d)\.)(to_out\.0|\w+)\.", name)
        if match:
            name = name.replace(match[0], f"{match[1]}{inner[match[2]]}.")
            if tensor.dim() == 2:
                tensor = tensor[:, :, None, None]
        renamed[name] = tensor.contiguous()
    return renamed


def to_old_diffusers(state: dict) -> dict:
    inner = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    pattern = re.compile(r"(attentions\.0\.)(to_q|to_k|to_v|to_out\.0)\.")
    return {pattern.sub(lambda m: f"{m[1]}{inner[m[2]]}.", name): tensor for name, tensor in state.items()}


def to_taesd(state: dict) -> tuple[dict, dict]:
    """diffusers' AutoencoderTiny -> the two files of TAESD, whose decoder starts with a layer without weights."""
    encoder = {n.removeprefix("encoder.layers."): t for n, t in state.items() if n.startswith("encoder.")}
    decoder = {}
    for name, tensor in state.items():
        if name.startswith("decoder."):
            index, rest = name.removeprefix("decoder.layers.").split(".", 1)
            decoder[f"{int(index) + 1}.{rest}"] = tensor
    return encoder, decoder


def write_folder(folder: Path, config: dict, state: dict, name: str = "diffusion_pytorch_model.safetensors") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / name)
    return folder


# The Stable Diffusion notebook's network from its description, less its mistakes in sampling: encode gives the moments.


class NotebookAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.group_norm = nn.GroupNorm(32, channels)
        self.attention = nn.Module()
        self.attention.in_proj = nn.Linear(channels, 3 * channels)
        self.attention.out_proj = nn.Linear(channels, channels)

    def forward(self, x):
        n, c, h, w = x.shape
        tokens = self.group_norm(x).reshape(n, c, h * w).transpose(1, 2)
        q, k, v = self.attention.in_proj(tokens).chunk(3, dim=-1)
        weights = torch.softmax(q @ k.transpose(1, 2) / c**0.5, dim=-1)
        return x + self.attention.out_proj(weights @ v).transpose(1, 2).reshape(n, c, h, w)


class NotebookResidual(nn.Module):
    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.group_norm_1 = nn.GroupNorm(32, fan_in)
        self.conv_1 = nn.Conv2d(fan_in, fan_out, 3, padding=1)
        self.group_norm_2 = nn.GroupNorm(32, fan_out)
        self.conv_2 = nn.Conv2d(fan_out, fan_out, 3, padding=1)
        self.residual_layer = nn.Identity() if fan_in == fan_out else nn.Conv2d(fan_in, fan_out, 1)

    def forward(self, x):
        h = self.conv_1(F.selu(self.group_norm_1(x)))
        return self.conv_2(self.group_norm_2(h)) + self.residual_layer(x)


class NotebookVAE(nn.Module):
    """widths: of the four levels; 128, 256, 512, 512 in the notebook."""

    def __init__(self, a, b, c, d):
        super().__init__()

        def down(n):
            return nn.Conv2d(n, n, 3, stride=2)

        def up(n):
            return [nn.Upsample(scale_factor=2), nn.Conv2d(n, n, 3, padding=1)]

        res, attention = NotebookResidual, NotebookAttention
        self.encoder = nn.Sequential(
            nn.Conv2d(3, a, 3, padding=1),
            *(res(a, a), down(a), res(a, b), res(b, b), down(b), res(b, c), res(c, c), down(c)),
            *(res(c, d), res(d, d), res(d, d), attention(d), res(d, d)),
            *(nn.GroupNorm(32, d), nn.SiLU(), nn.Conv2d(d, 8, 3, padding=1), nn.Conv2d(8, 8, 1)),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(4, d, 3, padding=1),
            *(res(d, d), attention(d), res(d, d), res(d, d), res(d, d), *up(d)),
            *(res(d, c), res(c, c), res(c, c), *up(c)),
            *(res(c, b), res(b, b), res(b, b), *up(b)),
            *(res(b, a), res(a, a), res(a, a)),
            *(nn.GroupNorm(32, a), nn.SiLU(), nn.Conv2d(a, 3, 3, padding=1)),
        )

    def moments(self, x):
        for layer in self.encoder:
            if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
                x = F.pad(x, (0, 1, 0, 1))
            x = layer(x)
        return x
