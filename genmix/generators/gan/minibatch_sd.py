"""Minibatch standard deviation: what lets a discriminator notice repetition."""


def minibatch_sd(h, group):
    """Minibatch standard deviation (Karras et al. 2018, arXiv 1710.10196), within groups of one class.

    h (n, c, H, W) with n a multiple of `group` -> (n, 1, H, W), constant over a group; 0 for one repeated
    image.
    """
    sd = h.unflatten(0, (-1, group)).float().var(1, unbiased=False).add(1e-8).sqrt().mean((1, 2, 3))
    return sd.to(h.dtype).repeat_interleave(group)[:, None, None, None].expand(-1, 1, *h.shape[2:])
