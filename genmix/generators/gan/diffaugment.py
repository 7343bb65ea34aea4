"""Augmentation for the discriminator, so that it cannot memorise the few real images."""

import torch
import torch.nn.functional as F


def random_symmetry(x):
    """A random one of the eight flips and rotations (D4) of each image (n, c, H, H), pixel by pixel."""
    out, which = torch.empty_like(x), torch.randint(8, (len(x),), device=x.device).cpu()
    for k in range(8):
        here = (which == k).nonzero()[:, 0].to(x.device)
        part = torch.rot90(x[here], k % 4, (2, 3))
        out[here] = part.flip(3) if k >= 4 else part
    return out


def diffaugment(x, shift=0.125, gain=0.2):
    """DiffAugment (Zhao et al. 2020, arXiv 2006.10738) for CT images x (n, 1, H, W).

    Each is moved by up to `shift` of its side, in whole pixels with reflected edges, and its brightness and
    contrast change by up to `gain`.
    """
    n, _, h, w = x.shape
    reach = int(h * shift)
    padded = F.pad(x, [reach] * 4, mode='reflect')
    move = torch.randint(0, 2 * reach + 1, (2, n, 1), device=x.device)
    rows, columns = move[0] + torch.arange(h, device=x.device), move[1] + torch.arange(w, device=x.device)
    image = torch.arange(n, device=x.device)[:, None, None]
    x = padded[image, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)
    a, b = (torch.rand(2, n, 1, 1, 1, device=x.device) * 2 - 1) * gain
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (1 + a) + mean + b
