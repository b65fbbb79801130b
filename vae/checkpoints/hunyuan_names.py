"""The tensors of HunyuanImage 2.1's own file, and diffusers' names, which are ours.

Theirs look like latent diffusion's (CompVis), but the decoder's levels count from the latent up, and the convolutions
that change the resolution change the width, too. In diffusers' all levels lie in one row.
"""

import re
from collections.abc import Iterable, Mapping

CHANGE = re.compile(r"(encoder\.down\.\d+\.downsample|decoder\.up\.\d+\.upsample)\.conv\.weight")
PLACE = re.compile(r"(encoder|decoder)\.(down|up)\.(\d+)\.(?:block\.(\d+)|(downsample|upsample))\.")
ATTENTION = {"norm": "norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "proj"}


def is_theirs(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the names, which might be latent diffusion's, are this network's: there no change of resolution changes
    the width."""
    changes = [shape for name, shape in shapes.items() if CHANGE.fullmatch(name)]
    return any(len(shape) > 1 and shape[0] != shape[1] for shape in changes)


def to_diffusers(names: Iterable[str]) -> dict[str, str]:
    """Our name of each, with theirs."""
    matches = {name: PLACE.match(name) for name in names}
    # A level's blocks in their order, then its change of resolution.
    places = {name: (m[1], int(m[3]), bool(m[5]), int(m[4] or 0)) for name, m in matches.items() if m}
    rows = {half: sorted({place for place in places.values() if place[0] == half}) for half in ("encoder", "decoder")}

    def rename(name: str) -> str:
        match = matches[name]
        if match:
            number = rows[match[1]].index(places[name])
            return f"{match[1]}.{match[2]}_blocks.{number}.{name[match.end() :]}"
        name = re.sub(r"\.mid\.block_([12])\.", lambda m: f".mid_block.resnets.{int(m[1]) - 1}.", name)
        return re.sub(
            r"\.mid\.attn_1\.(norm|q|k|v|proj_out)\.", lambda m: f".mid_block.attentions.0.{ATTENTION[m[1]]}.", name
        )

    return {rename(name): name for name in names}
