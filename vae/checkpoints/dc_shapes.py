"""The config of a deep-compression auto-encoder (vae.models.autoencoder_dc) from its tensors' names and shapes."""

import re
from dataclasses import dataclass

from vae.models.autoencoder_dc import PER_LEVEL, DCConfig

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Level:
    """What a level's blocks have in common: what PER_LEVEL names, the norm, and the size of a head where it shows."""

    kind: str
    width: int
    depth: int
    scales: tuple[int, ...]
    norm: str
    head: int | None


def dc_config(shapes: dict[str, Shape]) -> DCConfig:
    """What shapes do not show is taken as the published networks have it: shortcuts around the latent, and in the
    decoder relu with batch norm. Raises KeyError or ValueError for what is no such network."""
    encoder, decoder = _levels(shapes, "encoder.down_blocks."), _levels(shapes, "decoder.up_blocks.")
    fields = {
        f"{half}_{key}": tuple(value)
        for half, levels in (("encoder", encoder), ("decoder", decoder))
        for key, value in zip(
            PER_LEVEL, zip(*((x.kind, x.width, x.depth, x.scales) for x in levels), strict=True), strict=True
        )
    }
    skipped = "encoder.conv_in.conv.weight" in shapes  # the first level has no blocks, and is none
    first = shapes["encoder.conv_in.conv.weight" if skipped else "encoder.conv_in.weight"]
    # The first convolution that halves the size, and the one that doubles it.
    down = first if skipped else shapes[f"encoder.down_blocks.0.{encoder[0].depth}.conv.weight"]
    up = shapes[f"decoder.up_blocks.{len(decoder) - 2}.0.conv.weight"]
    return DCConfig(
        **fields,
        in_channels=first[1],
        latent_channels=shapes["encoder.conv_out.weight"][0],
        attention_head_dim=next((level.head for level in encoder + decoder if level.head), DCConfig.attention_head_dim),
        downsample_block_type="Conv" if down[0] == encoder[1].width else "pixel_unshuffle",
        upsample_block_type="interpolate" if up[0] == decoder[-2].width else "pixel_shuffle",
        decoder_norm_types=tuple(level.norm for level in decoder),
        decoder_act_fns=tuple("relu" if level.norm == "batch_norm" else "silu" for level in decoder),
    )


def _levels(shapes: dict[str, Shape], beginning: str) -> list[Level]:
    """The levels under `beginning`, from the image's on."""
    places = [re.match(rf"{re.escape(beginning)}(\d+)\.(\d+)\.(.+)", name) for name in shapes]
    layers: dict[int, dict[int, set[str]]] = {}
    for place in filter(None, places):
        layers.setdefault(int(place[1]), {}).setdefault(int(place[2]), set()).add(place[3])
    found = []
    for i in range(max(layers) + 1):
        blocks = [j for j, names in sorted(layers.get(i, {}).items()) if "conv.weight" not in names]
        if not blocks:
            found.append(Level("ResBlock", 4, 0, (), "rms_norm", None))  # no level, so that its width is no matter
            continue
        block = f"{beginning}{i}.{blocks[0]}."
        attends = f"{block}attn.to_q.weight" in shapes
        norm = f"{block}attn.norm_out" if attends else f"{block}norm"
        window = f"{block}attn.to_qkv_multiscale."
        count = sum(name.startswith(window) and name.endswith(".proj_in.weight") for name in shapes)
        found.append(
            Level(
                "EfficientViTBlock" if attends else "ResBlock",
                shapes[f"{norm}.weight"][0],
                len(blocks),
                tuple(shapes[f"{window}{j}.proj_in.weight"][2] for j in range(count)),
                "batch_norm" if f"{norm}.running_mean" in shapes else "rms_norm",
                shapes[f"{window}0.proj_out.weight"][1] if count else None,
            )
        )
    return found
