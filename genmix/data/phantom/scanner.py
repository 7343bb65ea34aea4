"""What a CT scanner does to a scene in HU: Gaussian blur and correlated noise.

Parameters of the scan have the shape (n, 1, 1), one value per lesion.
"""

import numpy as np

FWHM_TO_MTF = np.pi**2 / (4 * np.log(2))  # exp(-this * (f * fwhm)^2) is the MTF of a Gaussian point spread
# Noise power falls as MTF^1.3, not MTF^2: the focal spot does not blur the noise.  Assumption
NOISE_APODISATION = 1.3
# cycles/mm, assumption; the spectrum is not zero at zero frequency: Kijewski & Judy 1987,
# doi 10.1088/0031-9155/32/5/003
NOISE_FLOOR = 0.015


def frequencies(n_pixels, pixel_mm):
    """Frequencies fx (n, 1, N // 2 + 1) and fy (n, N, 1) in cycles/mm of `np.fft.rfft2` over N x N pixels.

    n_pixels is N; pixel_mm has the shape (n, 1, 1).
    """
    fx = np.fft.rfftfreq(n_pixels)[None, None, :] / pixel_mm
    fy = np.fft.fftfreq(n_pixels)[None, :, None] / pixel_mm
    return fx, fy


def blurred(hu, pixel_mm, fwhm_mm):
    """The scene (n, N, N) in HU through a Gaussian point spread of `fwhm_mm` (n, 1, 1)."""
    fx, fy = frequencies(hu.shape[-1], pixel_mm)
    mtf = np.exp(-FWHM_TO_MTF * (fx**2 + fy**2) * fwhm_mm**2)
    return np.fft.irfft2(np.fft.rfft2(hu) * mtf, s=hu.shape[-2:])


def noise_power(fx, fy, fwhm_mm, noise_hu, streak, streak_angle):
    """Noise power spectrum (NPS) in HU^2 mm^2 of filtered back projection.

    A ramp cut off by the kernel (Kijewski & Judy 1987, doi 10.1088/0031-9155/32/5/003), stronger across the
    body's long axis (assumption).  It integrates to noise_hu^2 over the whole plane, so a patch whose pixels
    are coarser than the scanner's keeps only the part of the noise that it can show.
    """
    f = np.hypot(fx, fy)
    decay = NOISE_APODISATION * FWHM_TO_MTF * fwhm_mm**2
    area = 2 * np.pi * (np.sqrt(np.pi) / (4 * decay**1.5) + NOISE_FLOOR / (2 * decay))
    lean = 1 + streak * np.cos(2 * (np.arctan2(fy, fx) - streak_angle))
    return noise_hu**2 * (f + NOISE_FLOOR) * np.exp(-decay * f**2) * lean / area


def correlated_noise(n_pixels, pixel_mm, rng, **scan):
    """CT noise (n, N, N) in HU with the spectrum `noise_power(..., **scan)`; all parameters (n, 1, 1).

    Its expected variance is the spectrum's integral over the frequencies that the grid carries.
    """
    white = rng.standard_normal((len(pixel_mm), n_pixels, n_pixels))
    power = noise_power(*frequencies(n_pixels, pixel_mm), **scan)
    return np.fft.irfft2(np.fft.rfft2(white) * np.sqrt(power) / pixel_mm, s=white.shape[1:])
