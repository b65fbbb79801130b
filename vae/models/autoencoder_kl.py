"""The auto-encoder of Stable Diffusion and its relatives: SD 1/2, SDXL, SD3, FLUX.1, FLUX.2, the notebook.

One network (Rombach et al. 2022, arXiv:2112.10752), driven by a config whose fields have diffusers' names where
diffusers has them. State-dict names are diffusers' too, so a checkpoint folder of ours is nearly one of theirs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from vae.distributions import DiagonalGaussian
from vae.errors import InputError
from vae.models.base import AutoEncoder, ModelConfig
from vae.models.group_norm import GroupNorm
from vae.models.layers import ACTIVATIONS, PADDINGS, Conv, Level, MidBlock, norm_act, norm_layer
from vae.models.recording import is_inference


@dataclass(frozen=True)
class KLConfig(ModelConfig):
    """block_out_channels: width of each level, the image's first; every level but the last halves the size.
    layers_per_block: residual blocks in each encoder level; decoder levels have one more.
    encoder_layers, decoder_layers: the same level by level (the decoder's from the latent up), where they differ.
    encoder_attention, decoder_attention: whether each residual block of a level is followed by attention, in the same
    orders; None for no level (the middle has its own: mid_block_add_attention).
    z_channels: channels before quant_conv, where they are not latent_channels (CompVis' embed_dim is the latter).
    padding_mode: what the 3x3 convolutions that keep the size see beyond the edge: "zeros", or "reflect", as some
    models fine-tuned for an equivariant latent space have it.
    act_fn: of the residual blocks; the last activation before the output is always SiLU.
    act_twice: False leaves out the residual blocks' second activation.
    latents_mean, latents_std: per-channel statistics that some diffusion models scale with instead.
    force_upcast: the weights overflow in float16, so it is not to be used.
    """

    sample_size: int = 512
    fixed_size: bool = False
    in_channels: int = 3
    out_channels: int = 3
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    encoder_layers: tuple[int, ...] | None = None
    decoder_layers: tuple[int, ...] | None = None
    encoder_attention: tuple[bool, ...] | None = None
    decoder_attention: tuple[bool, ...] | None = None
    latent_channels: int = 4
    z_channels: int | None = None
    norm_num_groups: int = 32
    norm_eps: float = 1e-6
    act_fn: str = "silu"
    act_twice: bool = True
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    mid_block_add_attention: bool = True
    padding_mode: str = "zeros"
    force_upcast: bool = False
    latents_mean: tuple[float, ...] | None = None
    latents_std: tuple[float, ...] | None = None

    def __post_init__(self):
        levels = len(self.block_out_channels)
        if not 1 <= levels <= 8 or len(self.decoder_widths) != levels:
            raise InputError(f"block_out_channels must have 1 to 8 levels, the decoder's as many, not {levels}.")
        for width in (*self.block_out_channels, *self.decoder_widths):
            if not 0 < width <= 8192 or self.norm_num_groups < 1 or width % self.norm_num_groups:
                raise InputError(
                    f"block_out_channels must be multiples of norm_num_groups ({self.norm_num_groups}) "
                    f"up to 8192, not {width}."
                )
        for name in ("in_channels", "out_channels", "latent_channels", "z_channels"):
            if getattr(self, name) is not None and not 1 <= getattr(self, name) <= 1024:
                raise InputError(f"{name} must be from 1 to 1024, not {getattr(self, name)}.")
        self._check_z_channels()
        for name in ("encoder_attention", "decoder_attention"):
            if getattr(self, name) is not None and len(getattr(self, name)) != levels:
                raise InputError(f"{name} must say yes or no for each of the {levels} levels.")
        if self.padding_mode not in PADDINGS:
            raise InputError(f"padding_mode must be {' or '.join(PADDINGS)}, not {self.padding_mode[:80]!r}.")
        for depths in (self.encoder_depths, self.decoder_depths):
            if len(depths) != levels or not all(1 <= depth <= 64 for depth in depths):
                raise InputError(f"Each of the {levels} levels needs 1 to 64 residual blocks, not {list(depths)}.")
        if self.act_fn not in ACTIVATIONS:
            raise InputError(f"act_fn must be one of {', '.join(ACTIVATIONS)}, not {self.act_fn!r}.")
        for name in ("latents_mean", "latents_std"):
            values = getattr(self, name)
            if values is not None and len(values) != self.latent_channels:
                raise InputError(f"{name} must have {self.latent_channels} numbers, one a latent channel.")
        super().__post_init__()

    def _check_z_channels(self) -> None:
        if self.inner_channels != self.latent_channels and not (self.use_quant_conv and self.use_post_quant_conv):
            raise InputError(
                f"z_channels {self.z_channels} and latent_channels {self.latent_channels} may differ only in a network "
                "with a quant_conv and a post_quant_conv between them."
            )

    @property
    def inner_channels(self) -> int:
        """Channels of what the decoder begins with, and half of what the encoder ends with."""
        return self.z_channels or self.latent_channels

    @property
    def downscale(self) -> int:
        return 2 ** (len(self.block_out_channels) - 1)

    @property
    def floats_per_pixel(self) -> int:
        widths = [
            math.ceil(width / 4 ** max(i - 1, 0))  # a level is enlarged before its width changes
            for widths in (self.block_out_channels, self.decoder_widths)
            for i, width in enumerate(widths)
        ]
        return 3 * max(*widths, self.in_channels, self.out_channels, 2 * self.latent_channels // self.downscale**2)

    @property
    def attends(self) -> bool:
        return self.mid_block_add_attention

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """Width of each decoder level, the image's first."""
        return self.block_out_channels

    @property
    def encoder_depths(self) -> tuple[int, ...]:
        return self.encoder_layers or (self.layers_per_block,) * len(self.block_out_channels)

    @property
    def decoder_depths(self) -> tuple[int, ...]:
        return self.decoder_layers or (self.layers_per_block + 1,) * len(self.block_out_channels)

    @property
    def block(self) -> dict:
        """What every residual block of the encoder is built with."""
        names = {"groups": self.norm_num_groups, "eps": self.norm_eps, "act": self.act_fn}
        return names | {"act_twice": self.act_twice, "padding_mode": self.padding_mode}

    @property
    def decoder_block(self) -> dict:
        """What every residual block of the decoder is built with."""
        return self.block


def levels(
    widths: Sequence[int], depths: Sequence[int], attention: Sequence[bool] | None, resample: str, block: dict
) -> nn.ModuleList:
    """The levels of an encoder or a decoder, in the order they are computed; all but the last are resampled."""
    attention, last = attention or [False] * len(widths), len(widths) - 1
    return nn.ModuleList(
        Level(widths[max(i - 1, 0)], widths[i], depths[i], resample if i < last else None, attention[i], **block)
        for i in range(len(widths))
    )


class Encoder(nn.Module):
    """out_channels: of what it ends with, twice the latent's for both of a Gaussian's moments."""

    def __init__(self, config: KLConfig, out_channels: int):
        super().__init__()
        widths = config.block_out_channels
        self.conv_in = Conv(config.in_channels, widths[0], 3, padding=1, padding_mode=config.padding_mode)
        self.down_blocks = levels(widths, config.encoder_depths, config.encoder_attention, "down", config.block)
        self.mid_block = MidBlock(widths[-1], config.mid_block_add_attention, **config.block)
        self.conv_norm_out = GroupNorm(config.norm_num_groups, widths[-1], eps=config.norm_eps)
        self.conv_out = Conv(widths[-1], out_channels, 3, padding=1, padding_mode=config.padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down_blocks:
            x = level(x)
        x = self.mid_block(x)
        return self.conv_out(norm_act(x, self.conv_norm_out, "silu"))


class Decoder(nn.Module):
    def __init__(self, config: KLConfig):
        super().__init__()
        widths = config.decoder_widths[::-1]
        self.conv_in = Conv(config.inner_channels, widths[0], 3, padding=1, padding_mode=config.padding_mode)
        block = config.decoder_block
        self.mid_block = MidBlock(widths[0], config.mid_block_add_attention, **block)
        self.up_blocks = levels(widths, config.decoder_depths, config.decoder_attention, "up", block)
        self.conv_norm_out = norm_layer(widths[-1], config.norm_num_groups, config.norm_eps, block.get("code_channels"))
        self.conv_out = Conv(widths[-1], config.out_channels, 3, padding=1, padding_mode=config.padding_mode)

    def forward(self, x: Tensor, *code: Tensor) -> Tensor:
        """code: the latent, where the norms go by it (VQModel)."""
        x = self.mid_block(self.conv_in(x), *code)
        for level in self.up_blocks:
            x = level(x, *code)
        x = norm_act(x, self.conv_norm_out, "silu", *code)
        # In training autocast chooses; without, `precision` may have left the level before in bfloat16.
        return self.conv_out(x.to(self.conv_out.weight.dtype) if is_inference() else x)


class AutoencoderKL(AutoEncoder):
    """Images of any size in [-1, 1] to a posterior over latents of 1 / 2^(levels - 1) that size, and back.

    Pixels beyond the last multiple of `downscale` have little or no effect on the posterior.
    """

    family = "kl"

    def __init__(self, config: KLConfig):
        super().__init__()
        self.config = config
        self.in_channels, self.latent_channels = config.in_channels, config.latent_channels
        self.downscale = config.downscale
        latent, inner = config.latent_channels, config.inner_channels
        self.encoder = Encoder(config, 2 * inner)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv2d(2 * inner, 2 * latent, 1) if config.use_quant_conv else None
        self.post_quant_conv = nn.Conv2d(latent, inner, 1) if config.use_post_quant_conv else None

    def _encode(self, x: Tensor) -> DiagonalGaussian:
        moments = self.encoder(x)
        return DiagonalGaussian.from_moments(moments if self.quant_conv is None else self.quant_conv(moments))

    def _decode(self, z: Tensor) -> Tensor:
        return self.decoder(z if self.post_quant_conv is None else self.post_quant_conv(z))


@dataclass(frozen=True)
class Flux2Config(KLConfig):
    """FLUX.2's diffusion model sees latents in patches of patch_size, each channel normalised by running statistics.

    decoder_block_out_channels: the decoder's widths (the image's first), where they differ from the encoder's.
    """

    sample_size: int = 1024
    latent_channels: int = 32
    decoder_block_out_channels: tuple[int, ...] | None = None
    patch_size: tuple[int, ...] = (2, 2)
    batch_norm_eps: float = 1e-4
    batch_norm_momentum: float = 0.1

    def __post_init__(self):
        if len(self.patch_size) != 2 or not all(type(side) is int and 1 <= side <= 16 for side in self.patch_size):
            raise InputError(f"patch_size must be two whole numbers from 1 to 16, not {repr(self.patch_size)[:80]}.")
        super().__post_init__()

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        return self.decoder_block_out_channels or self.block_out_channels


class AutoencoderKLFlux2(AutoencoderKL):
    """The same network with FLUX.2's latent statistics, which encode and decode do not apply: latents stay unscaled."""

    def __init__(self, config: Flux2Config):
        super().__init__(config)
        channels = config.latent_channels * math.prod(config.patch_size)
        self.bn = nn.BatchNorm2d(channels, eps=config.batch_norm_eps, momentum=config.batch_norm_momentum, affine=False)


_SMALL = KLConfig(sample_size=64, block_out_channels=(24, 48, 96, 192), layers_per_block=1, norm_num_groups=8)

KL_PRESETS = {
    "sd": KLConfig(scaling_factor=0.18215),
    # The Stable Diffusion notebook's network, layer for layer.
    "sd-notebook": KLConfig(
        sample_size=56,
        scaling_factor=0.18215,
        encoder_layers=(1, 2, 2, 2),
        decoder_layers=(2, 3, 3, 3),
        norm_eps=1e-5,
        act_fn="selu",
        act_twice=False,
        use_post_quant_conv=False,
    ),
    # The same code, narrow: for CPUs. Wide where pixels are few: of the widths tried it learns most in a given time.
    "sd-small": _SMALL,
    "sd-small-16": replace(_SMALL, latent_channels=16),  # as many as SD3's and FLUX's latents have
}
