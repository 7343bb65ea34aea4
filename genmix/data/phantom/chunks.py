"""Chunks of lesions, rendered in processes side by side: the same numbers as one after another."""

from copy import deepcopy

PROCESSES = 16  # at most: one takes 0.9 GB at 256 px
SMALL = 16  # pixels


def side_by_side(patch, chunks, size, shape_rng, noise_rng):
    """[patch(rows, size, shape_rng, noise_rng) for rows in chunks], from as many processes as cores.

    In a process that is itself one of several there are no others.
    """
    from joblib import Parallel, cpu_count, delayed  # here: few callers draw so much
    from joblib.parallel import get_active_backend

    inside = get_active_backend()[0].nesting_level
    processes = 1 if inside else min(cpu_count(), PROCESSES, len(chunks))
    jobs = with_generators(patch, chunks, size, shape_rng, noise_rng)
    return Parallel(processes)(delayed(patch)(rows, size, *own) for rows, own in jobs)


def with_generators(patch, chunks, size, shape_rng, noise_rng):
    """Each chunk with its generators of randomness (shapes; noise or None) as they are where it begins.

    What shapes draw does not depend on the size, so that small patches lead from one chunk to the next.
    """
    for rows in chunks:
        yield rows, (deepcopy(shape_rng), deepcopy(noise_rng))
        patch(rows, SMALL, shape_rng, None)
        if noise_rng:
            noise_rng.standard_normal((len(rows), *[padded(size)] * 2))


def padded(size):
    """Side of a patch of `size` pixels with its border for the wrap-around of the Fourier blur."""
    return size + 2 * (size // 8)
