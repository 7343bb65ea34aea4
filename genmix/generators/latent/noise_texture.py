"""Noise power spectrum (NPS) correction: adds the CT noise texture that an autoencoder removes from samples.

An autoencoder that divides an image's side by four cannot place single grains of noise and returns less of
them.  The power that samples lack at each spatial frequency is measured against the training lesions and
added with random phases.  Low frequencies, where lesions have their shape, are left alone.
"""

import numpy as np
from safetensors.numpy import load_file, save_file

LOWEST = 0.15  # cycles per pixel: structure of fewer pixels than 1 / LOWEST counts as noise


def power_spectra(images):
    """Power of images uint8 (n, H, W) per pixel in rings of spatial frequency: float32 (n, H // 2)."""
    x, size = images.astype(np.float32), images.shape[-1]
    window = np.hanning(size)[:, None] * np.hanning(size)
    power = np.abs(np.fft.fft2((x - x.mean((1, 2), keepdims=True)) * window)) ** 2 / (window**2).sum()
    ring = rings(size)
    spectra = np.stack([power[:, ring == r].mean(1) for r in range(size // 2)], 1)
    return spectra.astype(
        np.float32
    )  # the precision in which they are saved: ranks must not depend on rounding


def rings(size):
    """Ring of each coefficient of fft2: int (size, size), from 0, the mean, to size // 2 - 1, the finest."""
    f = np.fft.fftfreq(size)
    return np.minimum(np.round(np.hypot(f[:, None], f) * size).astype(int), size // 2 - 1)


def high_frequency_power(spectra):
    """Power above LOWEST of each spectrum (n, rings): (n,)."""
    return spectra[:, int(LOWEST * 2 * spectra.shape[1]) :].sum(1)


class NPSCorrection:
    """What the samples of each class lack.

    training   list of float32 (n_k, rings): spectra of the training lesions of each class
    samples    the same of uncorrected samples
    """

    def __init__(self, training, samples):
        self.training, self.samples = training, samples

    @classmethod
    def measured(cls, images, labels, samples):
        """From training images uint8 (n, H, W), labels (n,), and uncorrected samples uint8 (K, m, H, W)."""
        spectra = power_spectra(images)
        return cls([spectra[labels == k] for k in range(len(samples))], [power_spectra(x) for x in samples])

    def __call__(self, images, label, seed):
        """Corrected samples of one class, uint8 (n, H, W) as they came.

        High-frequency power is matched by rank: a sample with much of it among samples gets much of it among
        lesions.
        """
        size, training, samples = images.shape[-1], self.training[label], self.samples[label]
        own = high_frequency_power(power_spectra(images))
        among = np.sort(high_frequency_power(samples))
        rank = (np.searchsorted(among, own) + np.searchsorted(among, own, 'right')) / (2 * len(among))
        powers = high_frequency_power(training)
        target = training.mean(0) * (np.quantile(powers, rank) / powers.mean())[:, None]
        missing = target - samples.mean(0) * (own / among.mean().clip(1e-9))[:, None]
        missing = np.clip(missing, 0, None)
        missing[:, : int(LOWEST * size)] = 0
        rng = np.random.default_rng([seed, label])
        white = np.fft.fft2(rng.standard_normal(images.shape).astype(np.float32))
        noise = np.fft.ifft2(white * np.sqrt(missing)[:, rings(size)]).real
        return (images + noise).round().clip(0, 255).astype(np.uint8)

    def save(self, path):
        """Write the spectra as safetensors."""
        parts = {'training': self.training, 'samples': self.samples}
        save_file({f'{name}{k}': x for name, some in parts.items() for k, x in enumerate(some)}, path)

    @classmethod
    def load(cls, path):
        """The correction that `save` wrote; None where there is no such file."""
        if not path.exists():
            return None
        saved = load_file(path)
        return cls(
            *([saved[f'{name}{k}'] for k in range(len(saved) // 2)] for name in ('training', 'samples'))
        )
