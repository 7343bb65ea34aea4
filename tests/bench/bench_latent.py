"""A step of Textual Inversion and of fine-tuning: ours beside the example scripts of diffusers, unchanged."""

import latent_ways as ways
import numpy as np
import peers
from measure import ROUNDS, in_float32, report

from genmix.run.device import bf16_pays

STEPS, WARM_UP = 8, 2  # steps timed in each round, and those before them
PER_CLASS = 20


def alternating(ours, script, name, cohort, config, folder):
    """{way: seconds of single steps (n, 2)}; ours and the script, in each precision that pays, take turns."""
    every = {
        'ours': lambda place: ours(cohort, config, place),
        f'{name} (float32, its default)': lambda place: script(cohort, config, place),
    }
    if bf16_pays():
        every[f'{name}, mixed_precision=bf16'] = lambda place: script(cohort, config, place, 0, 'bf16')
        every['ours in float32'] = lambda place: in_float32(ours)(cohort, config, place)
    found = {label: [] for label in every}
    for turn in range(ROUNDS):
        for k, (label, way) in enumerate(every.items()):
            seconds, _ = way(folder / f'{turn}-{k}')
            found[label].append(seconds[WARM_UP:])
    return {label: np.concatenate(seconds) for label, seconds in found.items()}


def test_textual_inversion(tmp_path):
    config = ways.inversion_config(WARM_UP + STEPS)
    cohort = ways.lesions(PER_CLASS, seed=9, label=1)
    both = ways.our_inversion, ways.script_inversion, 'textual_inversion.py'
    found = alternating(*both, cohort, config, tmp_path)
    note = f'batch {config.batch_size}, {config.num_vectors} vectors'
    report('a step of Textual Inversion', found, note=note)


def test_fine_tuning(tmp_path):
    ways.script('fine_tuning')
    peers.need_datasets()
    config, cohort = ways.fine_tuning_config(WARM_UP + STEPS), ways.lesions(PER_CLASS, seed=9)
    both = ways.our_fine_tuning, ways.script_fine_tuning, 'train_text_to_image.py'
    found = alternating(*both, cohort, config, tmp_path)
    report('a step of fine-tuning', found, note=f'batch {config.batch_size}, EMA')
