"""What a critic sees instead of the few real images, so that it cannot learn them by heart."""

import torch
import torch.nn.functional as F


def random_symmetry(x):
    """Each image by one of the eight symmetries of the square, drawn at random: a lesion has no up; nothing is interpolated."""
    turned, which = torch.empty_like(x), torch.randint(8, (len(x),), device=x.device)
    for k in range(8):
        part = torch.rot90(x[which == k], k % 4, (2, 3))
        turned[which == k] = part.flip(3) if k >= 4 else part
    return turned


def diffaugment(x, shift=0.125, gain=0.2):
    """DiffAugment for CT: each image moved by whole pixels (edges reflected) and given another brightness and contrast."""
    n, _, h, w = x.shape
    reach = int(h * shift)
    padded = F.pad(x, [reach] * 4, mode='reflect')
    move = torch.randint(0, 2 * reach + 1, (2, n, 1), device=x.device)
    rows, columns = move[0] + torch.arange(h, device=x.device), move[1] + torch.arange(w, device=x.device)
    x = padded[
        torch.arange(n, device=x.device)[:, None, None], 0, rows[:, :, None], columns[:, None, :]
    ].unsqueeze(1)
    a, b = (torch.rand(2, n, 1, 1, 1, device=x.device) * 2 - 1) * gain
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (1 + a) + mean + b
