"""Does a base paint what a prompt names?  Tests that need no lesions: shapes, and captions against others.

A shape is judged by the isoperimetric quotient 4 pi A / P^2 of a thresholded region: 1 for a disc, .785 for a
square, little for a ragged stain.
"""

import numpy as np
import torch
from scipy.ndimage import binary_fill_holes, gaussian_gradient_magnitude, label

from genmix import StudyError
from genmix.generators.pretrained import networks
from genmix.run.device import DEVICE, autocast
from genmix.run.gpu import in_parts

ROUND = 0.8  # a quotient from which a region counts as round
SMALLEST_OBJECT = 0.02  # share of the picture
SMALLEST_HOLE = 0.01  # share of the filled region; smaller ones are noise


def otsu(image):
    """The threshold of uint8 (H, W) that separates two groups of gray levels best (Otsu 1979): an int.

    The darker group is image <= threshold.
    """
    counts = np.bincount(image.ravel(), minlength=256)
    below, levels = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = image.size - below
    with np.errstate(divide='ignore', invalid='ignore'):
        between = (levels * image.size - below * levels[-1]) ** 2 / (below * above)
    return int(np.nan_to_num(between).argmax())


def find_object(image):
    """(region, dark) of uint8 (H, W): a bool mask of the object, and whether it is the dark side.

    The object is the largest connected region on the side of Otsu's threshold that has less of the picture's
    frame.
    """
    below = image <= otsu(image)
    frame = np.concatenate([below[0], below[-1], below[1:-1, 0], below[1:-1, -1]])
    dark = bool(frame.mean() < 0.5)
    parts, n = label(below if dark else ~below)
    if not n:
        return np.zeros(image.shape, bool), dark
    return parts == 1 + np.bincount(parts.ravel())[1:].argmax(), dark


def perimeter(region):
    """Length of the border of a bool mask (H, W), in pixels.

    The sum of the gradient's magnitude is the mean length of the level lines of the smoothed mask (coarea
    formula), in any direction.  Smoothing by s pixels cuts corners in proportion to s, so the lengths for
    s = 1 and s = 2 are extrapolated to 0: for discs of radius 8 and more and for squares within 4 %.
    """
    padded = np.pad(region.astype(float), 8)
    fine, coarse = (gaussian_gradient_magnitude(padded, s, mode='constant').sum() for s in (1, 2))
    return 2 * fine - coarse


def roundness(region):
    """Isoperimetric quotient of a bool mask (H, W): about 1 for a disc, 0 for an empty mask."""
    return 4 * np.pi * region.sum() / perimeter(region) ** 2 if region.any() else 0.0


def is_round(image, holes, dark=None):
    """Whether the object of uint8 (H, W) has that many holes and is round when they are filled.

    dark    True: only a dark object counts
    """
    region, found_dark = find_object(image)
    filled = binary_fill_holes(region)
    if filled.mean() < SMALLEST_OBJECT or (dark and not found_dark):
        return False
    sizes = np.bincount(label(filled & ~region)[0].ravel())[1:]
    return (sizes > SMALLEST_HOLE * filled.sum()).sum() == holes and roundness(filled) >= ROUND


def is_dark_disc(image):
    """Whether uint8 (H, W) shows a dark disc: a round dark region without a hole."""
    return is_round(image, holes=0, dark=True)


def is_ring(image):
    """Whether uint8 (H, W) shows a ring, dark or bright: a region with one hole, round when it is filled."""
    return is_round(image, holes=1)


SHAPES = {'a large sharp dark disc': is_dark_disc, 'a ring': is_ring}


def sample_shapes(pipeline, n=50, steps=15, guidance=3.0, seed=0):
    """Samples for the prompts of SHAPES, and which ones show it: {prompt: (uint8 (n, H, W), bool (n,))}."""
    samples = {
        prompt: networks.sample_images(pipeline, [prompt] * n, steps, guidance, seed) for prompt in SHAPES
    }
    return {prompt: (x, np.array([SHAPES[prompt](image) for image in x])) for prompt, x in samples.items()}


def shape_shares(pipeline, **sampling):
    """{prompt: share of its samples that show the shape}, of `sample_shapes`."""
    return {prompt: float(hit.mean()) for prompt, (_, hit) in sample_shapes(pipeline, **sampling).items()}


def caption_losses(pipeline, images, captions, passes=8, seed=0):
    """How much its caption tells the denoiser of a picture: the loss under its own and under another's.

    images   uint8 (n, H, W) that the base was not trained on      captions   one for each
    passes   each with other noise, times spread over the schedule, and another picture's caption

    Returns {'pictures': n, 'own': loss, 'shuffled': loss, 'own_lower': share of pictures whose mean loss is
    lower under their own caption}.  Raises StudyError for fewer than two pictures or another number of
    captions.
    """
    n = len(images)
    if n < 2 or len(captions) != n:
        raise StudyError(f'{n} pictures and {len(captions)} captions: give two or more, and as many of each.')
    latents, conditions = networks.encode(pipeline.vae, images), encode_captions(pipeline, captions)
    generator, losses = torch.Generator().manual_seed(seed), torch.zeros(2, n)
    for _ in range(passes):
        shift = int(torch.randint(1, n, (), generator=generator))
        share = (torch.randperm(n, generator=generator) + 0.5) / n
        noise = torch.randn(latents.shape, generator=generator)
        for row, condition in zip(losses, (conditions, conditions.roll(shift, 0))):
            row += denoising_errors(pipeline.unet, latents, condition, noise, share) / passes
    own, shuffled = losses.mean(1).tolist()
    lower = (losses[0] < losses[1]).float().mean().item()
    return {'pictures': n, 'own': own, 'shuffled': shuffled, 'own_lower': lower}


@torch.inference_mode()
def encode_captions(pipeline, captions):
    """Encodings of captions by the text encoder of a pipeline: float32 (n, tokens, d)."""
    ids = pipeline.tokenizer(
        list(captions), padding='max_length', truncation=True, return_tensors='pt'
    ).input_ids
    encoded = in_parts(lambda part: pipeline.text_encoder(ids[part].to(DEVICE))[0].float(), len(ids), 64)
    return torch.cat(encoded)


@torch.inference_mode()
def denoising_errors(unet, latents, conditions, noise, share):
    """Mean squared error of the predicted velocity for each of n latents: float32 (n,).

    share   of the noise schedule, in [0, 1), at which each one is noised
    """
    schedule = networks.make_noise_schedule()
    t = (share * schedule.config.num_train_timesteps).long()
    noisy, target = schedule.add_noise(latents, noise, t), schedule.get_velocity(latents, noise, t)

    def errors(part):
        with autocast():
            predicted = unet(noisy[part].to(DEVICE), t[part].to(DEVICE), conditions[part].to(DEVICE)).sample
        return (predicted.float().cpu() - target[part]).square().mean((1, 2, 3))

    return torch.cat(in_parts(errors, len(latents), 64))
