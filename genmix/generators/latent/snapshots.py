"""Samples from the same noise at chosen steps of a training, for Figure 2 and its like."""

import numpy as np

from genmix.run.files import atomic_write


def snapshot_steps(steps, n):
    """The steps of n snapshots: 0, then n - 1 that grow by a constant factor up to `steps`, each one once."""
    return sorted({0, *np.geomspace(max(1, steps / 64), steps, n - 1).round().astype(int).tolist()})


class Snapshots:
    """Images uint8 (K, n, H, W) per step, in files snapshots-<step>.npy: a killed training loses none."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, images, step):
        with atomic_write(self._file(step)) as part, open(part, 'wb') as out:
            np.save(out, images)

    def gather(self, steps):
        """Write snapshots.npy, uint8 (steps, K, n, H, W), and return it."""
        images = np.stack([np.load(self._file(step)) for step in steps])
        np.save(self.folder / 'snapshots.npy', images)
        return images

    def clear(self):
        """Remove the files of single steps."""
        for file in self.folder.glob('snapshots-*.npy'):
            file.unlink()

    def _file(self, step):
        return self.folder / f'snapshots-{step}.npy'
