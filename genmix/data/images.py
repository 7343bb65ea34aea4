"""Operations on images, one function each: HU window, uint8 and [-1, 1], resizing, symmetries, montage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def windowed(hu: np.ndarray, level: float, width: float) -> np.ndarray:
    """HU of any shape -> uint8: 0 up to level - width / 2, 255 from level + width / 2, linear between."""
    return np.rint(np.clip((hu - level) / width + 0.5, 0, 1) * 255).astype(np.uint8)


def to_unit(images: torch.Tensor) -> torch.Tensor:
    """uint8 tensor of any shape -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_uint8(x: torch.Tensor) -> np.ndarray:
    """Tensor (n, C, H, W) in [-1, 1], clipped to it -> uint8 (n, H, W), the mean over channels."""
    gray = x[:, 0].float() if x.shape[1] == 1 else x.float().mean(1)
    return (gray.clamp(-1, 1) * 127.5 + 127.5).round().byte().cpu().numpy()


def resize_uint8(images: np.ndarray, side: int) -> np.ndarray:
    """uint8 (n, H, W) -> uint8 (n, side, side), bicubic, antialiased; `images` if that is their width."""
    if images.shape[-1] == side:
        return images
    import torch  # only here: figures and tables load this module without torch
    from torch.nn.functional import interpolate

    x = torch.as_tensor(images)[:, None].float()
    x = interpolate(x, (side, side), mode='bicubic', antialias=True)
    return x[:, 0].round().clamp(0, 255).byte().numpy()


def symmetries(images: np.ndarray) -> np.ndarray:
    """The 8 symmetries of the square (dihedral group D4): (8, n, H, H) from (n, H, H), the identity first."""
    both = images, images[:, :, ::-1]
    return np.stack([np.rot90(x, quarter, (1, 2)) for x in both for quarter in range(4)])


def montage(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Images uint8 (n, H, W) as one uint8 image, `columns` wide, `gap` white pixels between."""
    n, h, w = images.shape
    rows = -(-n // columns)
    canvas = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * (h + gap), i % columns * (w + gap)
        canvas[y : y + h, x : x + w] = image
    return canvas
