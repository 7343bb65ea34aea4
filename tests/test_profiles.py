"""The profiles of a GPU, every notebook from 01 to 10 and 00, on a second device made of CPU memory.

True code paths, tiny sizes: what CUDA would refuse is refused (tests/run/other_device.py).  Hub models are
random weights of the same classes.
"""

import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT, shell_environment
from PIL import Image
from test_diffusion import class_base as class_base

from genmix.data.phantom import plan

SIZES = {
    'synthetic_per_class': 12,
    '01_data.image_size': 32,
    '02_dcgan.steps': 2,
    '02_dcgan.batch_size': 16,
    '02_dcgan.width': 4,
    '03_stylegan.steps': 8,
    '03_stylegan.batch_size': 16,
    '03_stylegan.width': 4,
    'max_channels': 8,
    'w_dim': 8,
    'real_lesions': 12,
    'reference_lesions': 12,
    'reference_steps': 2,
    'tstr_steps': 2,
    'mixed_images': 24,
    '08_classification.seeds': 1,
    '08_classification.steps': 2,
    '08_classification.batch_size': 16,
    'input_size': 32,
    'vgg_width': 0.0625,
    'population_lesions': '[8,8,8]',
    'dev_lesions': 6,
    'workers': 1,
    'bootstrap_draws': 50,
    'shown': 10,
}
LATENT = {'steps': 2, 'batch_size': 4, 'sampling_steps': 2, 'snapshots': 3, 'snapshot_samples': 2}
SIZES |= {f'{name}.{k}': v for name in ('04_textual_inversion', '05_diffusion') for k, v in LATENT.items()}


def run_there(folder, profile, **changes):
    """Names of the notebooks that ran, and what stopped one."""
    for name in ('params', 'measured'):
        (folder / name).symlink_to(ROOT / name)
    words = [f'{k}={v}' for k, v in (SIZES | changes).items()]
    script = ROOT / 'tests' / 'run' / 'notebook_cells.py'
    command = [sys.executable, script, ROOT / 'params' / f'{profile}.yaml', 'other', *words]
    environment = shell_environment(ROOT) | {'GENMIX_HEADLESS': '1', 'MPLBACKEND': 'agg'}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


NOTEBOOKS = sorted(path.stem for path in (ROOT / 'notebooks').glob('[0-9]*.ipynb'))


@pytest.mark.smoke
@pytest.mark.long
def test_the_gpu_profile_runs_on_another_device(tmp_path):
    ran = run_there(tmp_path, 'gpu', **{'01_data.lesions': '[20,12,16]', '01_data.patients': 24})
    assert sorted(ran) == NOTEBOOKS, '\n'.join(ran)


@pytest.mark.smoke
@pytest.mark.long
def test_the_profile_of_the_paper_runs_on_another_device(tmp_path, stable, class_base):  # noqa: F811
    """Own images in a folder, an ordinary Stable Diffusion, a DiT with adapters; weights not downloaded."""
    lesions, rows = plan.draw('dev', (40, 40, 40), 120, image_size=40, seed=9), []
    for image, label, patient, name in zip(lesions.images, lesions.labels, lesions.patients, lesions.ids):
        Image.fromarray(image).save(tmp_path / f'{name}.png')
        rows.append((f'{name}.png', patient, lesions.class_names[label]))
    pd.DataFrame(rows, columns=['file', 'patient', 'label']).to_csv(tmp_path / 'labels.csv', index=False)
    bases = {'04_textual_inversion.base': stable, '05_diffusion.base': class_base}
    networks = {'num_vectors': 2, 'lora_rank': 2, 'features': 'efficientnet_lite0', 'weights': ''}
    ran = run_there(tmp_path, 'paper', data_dir=tmp_path, **bases, **networks)
    assert sorted(ran) == NOTEBOOKS, '\n'.join(ran)
