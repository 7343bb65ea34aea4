"""CT grain for a generator that paints too smoothly: noise with the power that its samples lack, at each spatial frequency.

An autoencoder that divides an image's side by four cannot say where each grain lies, and answers with less of it.  What is missing is measured on
the training lesions and put back with random phases.  Low frequencies, where lesions have their form, are left alone.
"""

import numpy as np
from safetensors.numpy import load_file, save_file

LOWEST = 0.15  # cycles per pixel; forms of fewer pixels than 1 / LOWEST count as grain


def power_spectra(images):
    """Power of each image uint8 (n, H, W) in rings of spatial frequency: float32 (n, H // 2), in gray levels squared a pixel."""
    x, size = images.astype(np.float32), images.shape[-1]
    window = np.hanning(size)[:, None] * np.hanning(size)
    power = np.abs(np.fft.fft2((x - x.mean((1, 2), keepdims=True)) * window)) ** 2 / (window**2).sum()
    ring = rings(size)
    return np.stack([power[:, ring == r].mean(1) for r in range(size // 2)], 1).astype(
        np.float32
    )  # as it is kept: ranks must not hang on a rounding


def rings(size):
    """Number of the ring in which each coefficient of fft2 lies: int (size, size), 0 the mean, size // 2 - 1 all that is finer."""
    f = np.fft.fftfreq(size)
    return np.minimum(np.round(np.hypot(f[:, None], f) * size).astype(int), size // 2 - 1)


def high_frequency_power(spectra):
    """Power above LOWEST of each spectrum (n, rings): (n,)."""
    return spectra[:, int(LOWEST * 2 * spectra.shape[1]) :].sum(1)


class NPSCorrection:
    """What the samples of each class lack.

    real   list of float (n_k, rings): spectra of training lesions, class by class      made   the same of samples without grain
    """

    def __init__(self, real, made):
        self.real, self.made = real, made

    @classmethod
    def measured(cls, images, labels, samples):
        """From training images uint8 (n, H, W) with labels (n,), and samples uint8 (K, m, H, W), the same number of each class."""
        every = power_spectra(images)
        return cls([every[labels == k] for k in range(len(samples))], [power_spectra(x) for x in samples])

    def __call__(self, images, label, seed):
        """Samples of one class uint8 (n, H, W) with grain.

        The louder a sample is among samples, the louder it becomes among lesions: its rank among `made` picks the loudness among `real`.
        """
        size, real, made = images.shape[-1], self.real[label], self.made[label]
        own = high_frequency_power(power_spectra(images))
        among = np.sort(high_frequency_power(made))
        rank = (np.searchsorted(among, own) + np.searchsorted(among, own, 'right')) / (2 * len(among))
        target = (
            real.mean(0)
            * (np.quantile(high_frequency_power(real), rank) / high_frequency_power(real).mean())[:, None]
        )
        missing = np.clip(target - made.mean(0) * (own / among.mean().clip(1e-9))[:, None], 0, None)
        missing[:, : int(LOWEST * size)] = 0
        white = np.fft.fft2(
            np.random.default_rng([seed, label]).standard_normal(images.shape).astype(np.float32)
        )
        noise = np.fft.ifft2(white * np.sqrt(missing)[:, rings(size)]).real
        return (images + noise).round().clip(0, 255).astype(np.uint8)

    def save(self, path):
        parts = {'real': self.real, 'made': self.made}
        save_file({f'{name}{k}': x for name, some in parts.items() for k, x in enumerate(some)}, path)

    @classmethod
    def load(cls, path):
        saved = load_file(path)
        return cls(*([saved[f'{name}{k}'] for k in range(len(saved) // 2)] for name in ('real', 'made')))
