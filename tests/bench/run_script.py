"""Run an example script of diffusers as it is, and write the seconds of each of its training steps.

python run_script.py SCRIPT TIMES ARGUMENTS...      TIMES: a CSV, CPU and wall seconds of a step in each line

A step ends when the script's progress bar moves; saving a checkpoint does not count.  Where a script asks
for an AutoencoderKL, it gets the AutoencoderTiny of the shipped base, whose latents are no distribution.
"""

import os
import runpy
import sys
from types import SimpleNamespace

import diffusers
import numpy as np
import torch
import tqdm.auto
from accelerate import Accelerator
from diffusers import AutoencoderTiny
from measure import Clock

clock, save_state, encode = Clock(), Accelerator.save_state, AutoencoderTiny.encode


class Steps(tqdm.auto.tqdm):
    """The progress bar of a script, which is called Steps."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.counted = options.get('desc') == 'Steps'
        if self.counted:
            clock.mark()

    def update(self, n=1):
        if self.counted:
            clock.mark()
        return super().update(n)


def save_unseen(*args, **options):
    with clock.paused():
        return save_state(*args, **options)


def encode_as_one(autoencoder, pictures):
    """What AutoencoderKL.encode gives, of a distribution without a width."""
    latents = encode(autoencoder, pictures).latents
    return SimpleNamespace(latent_dist=SimpleNamespace(sample=lambda: latents))


if __name__ == '__main__':
    script, times, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
    torch.set_num_threads(int(os.environ.get('GENMIX_THREADS', 1)))
    tqdm.auto.tqdm, Accelerator.save_state = Steps, save_unseen
    AutoencoderTiny.encode, diffusers.AutoencoderKL = encode_as_one, AutoencoderTiny
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name='__main__')
    np.savetxt(times, clock.seconds(), delimiter=',')
