"""Samples from the same noise at chosen steps of a training, for Figure 2 and its like."""

import json

import numpy as np
from safetensors import safe_open

from genmix.generators.latent.training_loop import CHECKPOINT
from genmix.run.files import atomic_write


def snapshot_steps(steps, n):
    """The steps of n snapshots: 0, then n - 1 that grow by a constant factor up to `steps`, each one once."""
    return sorted({0, *np.geomspace(max(1, steps / 64), steps, n - 1).round().astype(int).tolist()})


def go_on_from_finished(folder, config):
    """Let a training of `config` begin where a finished one, as long or shorter, left its files in `folder`.

    Its checkpoint goes to folder/training/; of its snapshots those stay that are nearest to the
    `snapshot_steps` of the longer one.
    """
    finished, own = folder / CHECKPOINT, folder / 'training' / CHECKPOINT
    if own.exists():
        finished.unlink(missing_ok=True)
    if not finished.exists():
        return
    with safe_open(finished, 'pt') as saved:
        before = int(saved.metadata()['steps'])
    kept = json.loads((folder / 'config.json').read_text())['snapshot_steps']
    wanted = [step for step in snapshot_steps(config.steps, config.snapshots) if step <= before]
    nearest = {min(kept, key=lambda k: abs(k - step)) for step in wanted}
    for step, images in zip(kept, np.load(folder / 'snapshots.npy')):
        if step in nearest:
            Snapshots(folder).add(images, step)
    own.parent.mkdir(exist_ok=True)
    finished.replace(own)


class Snapshots:
    """Images uint8 (K, n, H, W) per step, in files snapshots-<step>.npy: a killed training loses none."""

    def __init__(self, folder):
        self.folder = folder

    def add(self, images, step):
        with atomic_write(self._file(step)) as part, open(part, 'wb') as out:
            np.save(out, images)

    def planned(self, steps, before):
        """`steps` of a training; where it goes on from one of `before` steps, those kept of it come first."""
        kept = {int(file.stem.partition('-')[2]) for file in self.folder.glob('snapshots-*.npy')}
        return sorted(k for k in kept if k <= before) + [s for s in steps if s > before] if before else steps

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
