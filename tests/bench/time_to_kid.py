"""Time to the same KID: ours and the example scripts of diffusers, from one base; run by hand.

    GENMIX_PEERS=FOLDER python -m pytest -n 0 -s -rs tests/bench/time_to_kid.py

KID is that of samples from the weights at a few steps, drawn by one sampler, beside held-out dev phantoms;
seconds are those of training, encoding included, and not of sampling.  GENMIX_BENCH_STEPS is the length of
the trainings.  Where bfloat16 pays both train in it; GENMIX_BF16=0 has both train in float32.
"""

import os

import latent_ways as ways
import numpy as np
import pandas as pd
import peers
import pytest
import torch
from measure import processor, processor_class, reached

from genmix.audit.features import load_features
from genmix.audit.fidelity import kernel, mmd2, pairwise
from genmix.generators.latent import learned_tokens
from genmix.generators.latent.diffusion import Diffusion, model_config, open_model
from genmix.generators.latent.textual_inversion import prepare
from genmix.generators.pretrained.networks import sample_images
from genmix.run.device import bf16_pays

STEPS = int(os.environ.get('GENMIX_BENCH_STEPS', 120))
EVERY = STEPS // 4  # steps from one checkpoint to the next
KEPT = [*range(EVERY, STEPS + 1, EVERY)]
SAMPLES, HELD_OUT, TRAINED_ON = 96, 300, 60  # images in all
CLASS = 1  # that Textual Inversion learns: hemangioma, the rare one


@pytest.fixture(scope='module')
def features():
    return load_features()


def report(title, tracks):
    """Print {way: DataFrame of step, cpu, wall, kid}, and when each reaches the best KID of the worst."""
    goal = max(track.kid.min() for track in tracks.values())
    print(f'\n\n{title}\n{processor_class()} ({processor()}), {torch.get_num_threads()} thread(s)')
    print(pd.concat(tracks, names=['way', None]).reset_index('way').round(4).to_markdown(index=False))
    for way, track in tracks.items():
        print(f'{way}: KID {goal:.4f} after {reached(track.cpu, track.kid, goal):.1f} CPU s')


def tracks_of(trained, sample, features, held_out):
    """{way: DataFrame of step, cpu, wall, kid} from {way: (seconds of steps, {step: weights})}."""
    real, found = features(held_out.images), {}

    def kid(images):
        return mmd2(*pairwise(kernel, real, features(images)))

    for way, (seconds, kept) in trained.items():
        total = np.cumsum(seconds, axis=0)
        rows = [(step, *total[step - 1], kid(sample(weights))) for step, weights in kept.items()]
        found[way] = pd.DataFrame(rows, columns=['step', 'cpu', 'wall', 'kid'])
    return found


def both(ours, script, cohort, config, folder):
    """{way: what it trained}; in the precision of the study, the script in bfloat16 where that pays."""
    precision = 'bf16' if bf16_pays() else 'no'
    return {
        'ours': ours(cohort, config, folder / 'ours', KEPT),
        f'the script, mixed_precision={precision}': script(
            cohort, config, folder / 'script', EVERY, precision
        ),
    }


def test_textual_inversion(tmp_path, features):
    config, cohort = ways.inversion_config(STEPS), ways.lesions(TRAINED_ON, seed=9, label=CLASS)
    trained = both(ways.our_inversion, ways.script_inversion, cohort, config, tmp_path)
    pipeline, tokens, _, _ = prepare(config, cohort)
    prompts = [config.templates[0].format(tokens[0])] * SAMPLES

    def sample(vectors):
        new = torch.nn.Embedding.from_pretrained(vectors.float())
        with learned_tokens.with_learned_tokens(pipeline, new):
            return sample_images(pipeline, prompts, config.sampling_steps, config.guidance)

    held_out = ways.lesions(HELD_OUT, seed=10, label=CLASS)
    report('Textual Inversion', tracks_of(trained, sample, features, held_out))


def test_fine_tuning(tmp_path, features):
    ways.script('fine_tuning')
    peers.need_datasets()
    config, cohort = ways.fine_tuning_config(STEPS), ways.lesions(TRAINED_ON // 3, seed=9)
    trained = both(ways.our_fine_tuning, ways.script_fine_tuning, cohort, config, tmp_path)
    as_trained = ways.our_fine_tuning(cohort, config, tmp_path / 'learned', KEPT, learned_conditions=True)
    trained['ours, conditions learned too'] = as_trained
    about = model_config(config, cohort)
    base, net = open_model(about)
    model = Diffusion(base, net, about)

    def sample(weights):
        net.load_state_dict({'added': torch.zeros_like(net.added)} | weights)
        return np.concatenate([model.sample(k, SAMPLES // 3, seed=0) for k in range(3)])

    held_out = ways.lesions(HELD_OUT // 3, seed=10)
    report('fine-tuning', tracks_of(trained, sample, features, held_out))
