"""What pixels go through, one function each: HU window, uint8 and [-1, 1], resizing, symmetries, montage."""

import numpy as np


def windowed(hu, level, width):
    """HU of any shape -> uint8: level - width / 2 and below is 0, level + width / 2 and above is 255."""
    return np.rint(np.clip((hu - level) / width + 0.5, 0, 1) * 255).astype(np.uint8)


def to_unit(images):
    """uint8 tensor of any shape -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_uint8(x):
    """Tensor (n, C, H, W) in [-1, 1] -> uint8 array (n, H, W), the mean over channels; what lies outside is clipped."""
    gray = x[:, 0].float() if x.shape[1] == 1 else x.float().mean(1)
    return (gray.clamp(-1, 1) * 127.5 + 127.5).round().byte().cpu().numpy()


def resize_uint8(images, side):
    """uint8 (n, H, W) -> (n, side, side), bicubic, antialiased; the images themselves where they have that side."""
    if images.shape[-1] == side:
        return images
    import torch  # here, so that figures need none
    from torch.nn.functional import interpolate

    x = torch.as_tensor(images)[:, None].float()
    x = interpolate(x, (side, side), mode='bicubic', antialias=True)
    return x[:, 0].round().clamp(0, 255).byte().numpy()


def symmetries(images):
    """The 8 symmetries of a square, the dihedral group D4: (8, n, H, W) from (n, H, W), the images themselves first."""
    both = images, images[:, :, ::-1]
    return np.stack([np.rot90(x, quarter, (1, 2)) for x in both for quarter in range(4)])


def montage(images, columns, gap=2):
    """Images uint8 (n, H, W) as one, `columns` wide, white between."""
    n, h, w = images.shape
    rows = -(-n // columns)
    canvas = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * (h + gap), i % columns * (w + gap)
        canvas[y : y + h, x : x + w] = image
    return canvas
