"""How different two colours look: CIEDE2000."""

import torch
from torch import Tensor

from vae.metrics import check, strips, unit

# sRGB to the CIE's XYZ under D65 (IEC 61966-2-1), each row divided by the white's.
_TO_XYZ = torch.tensor(
    [
        [0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883],
    ]
)


def delta_e(a: Tensor, b: Tensor) -> Tensor:
    """The mean colour difference CIEDE2000 of each image, shape (N,): 0 where they are equal; of about 1 on, two large
    patches side by side can be told apart, and black and white are 100 apart.

    a, b: (N, C, H, W) in [-1, 1], clamped to it, or uint8, taken for sRGB; of 2 or 4 channels the last, the opacity, is
    left out.
    """
    check(a, b)
    total = torch.zeros(len(a), dtype=torch.float64, device=a.device)
    for rows in strips(a, 0):
        total += ciede2000(*(lab(_colours(unit(x, rows))) for x in (a, b))).flatten(1).sum(1, dtype=torch.float64)
    return (total / (a.shape[-2] * a.shape[-1])).float()


def lab(rgb: Tensor) -> Tensor:
    """CIELAB (N, 3, H, W) of sRGB (N, 3, H, W) in [0, 1], under D65."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("ij,njhw->nihw", _TO_XYZ.to(linear), linear)
    cubic = torch.where(xyz > (6 / 29) ** 3, xyz.clamp_min(1e-9) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = cubic.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def ciede2000(p: Tensor, q: Tensor) -> Tensor:
    """The difference (N, H, W) of colours (N, 3, H, W) in CIELAB, as Sharma, Wu & Dalal 2005 write it ("The CIEDE2000
    color-difference formula: implementation notes")."""
    (l1, a1, b1), (l2, a2, b2) = p.unbind(1), q.unbind(1)
    chroma = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    stretch = 1 + 0.5 * (1 - torch.sqrt(chroma**7 / (chroma**7 + 25.0**7)))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = (torch.rad2deg(torch.atan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    grey = c1 * c2 == 0  # then there is no hue to differ in
    turn = (h2 - h1 + 180) % 360 - 180
    turn = torch.where(grey, 0.0, torch.where((turn == -180) & (h2 > h1), 180.0, turn))
    hue = torch.where(grey, h1 + h2, (h1 + turn / 2) % 360)
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2

    def cos(degrees: Tensor) -> Tensor:
        return torch.cos(torch.deg2rad(degrees))

    t = 1 - 0.17 * cos(hue - 30) + 0.24 * cos(2 * hue) + 0.32 * cos(3 * hue + 6) - 0.20 * cos(4 * hue - 63)
    lightness = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / torch.sqrt(20 + (light - 50) ** 2))
    saturation = (c2 - c1) / (1 + 0.045 * chroma)
    tone = 2 * torch.sqrt(c1 * c2) * torch.sin(torch.deg2rad(turn / 2)) / (1 + 0.015 * chroma * t)
    turned = 30 * torch.exp(-(((hue - 275) / 25) ** 2))
    rotation = -2 * torch.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * torch.sin(torch.deg2rad(2 * turned))
    return torch.sqrt((lightness**2 + saturation**2 + tone**2 + rotation * saturation * tone).clamp_min(0))


def _colours(x: Tensor) -> Tensor:
    x = x[:, :-1] if x.shape[1] in (2, 4) else x
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
