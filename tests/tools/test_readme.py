import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT

from genmix import StudyError
from genmix.results import claims, measured
from tools import checksums, readme

PAGES = {page: (ROOT / page).read_text(encoding='utf-8') for page in readme.PAGES}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A copy of the pages and of what they are written from."""
    for folder in ('measured', 'params', 'docs'):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / 'README.md', tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize('page', PAGES)
def test_the_pages_say_what_was_measured(here, page):
    assert readme.written(page, PAGES[page], readme.blocks()) == PAGES[page], 'run: python -m tools.readme'


def test_numbers_are_written_without_a_framework_for_networks():
    code = (
        'import sys, genmix.results.measured, tools.readme\n'
        'heavy = {"torch", "fastai", "diffusers", "timm", "transformers"} & set(sys.modules)\n'
        'sys.exit(", ".join(heavy) or 0)'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f'loaded: {done.stderr}'


def test_another_number_is_another_page(here, capsys):
    path = here / 'measured' / 'study' / 'claims.csv'
    parts = pd.read_csv(path)
    parts.loc[parts.claim == 'GenMix improves every generator', ['mean', 'low', 'high']] = [
        0.0871,
        0.0671,
        0.1071,
    ]
    parts.loc[parts.claim == 'GenMix improves every generator', 'verdict'] = 'supported'
    parts.to_csv(path, index=False)
    assert readme.main([]) == 1 and 'study/claims.csv is not as it was measured' in capsys.readouterr().err
    assert checksums.main(['study/claims.csv']) == 0 == readme.main([])
    text = (here / 'docs' / 'results.md').read_text()
    assert text != PAGES['docs/results.md'] and '+8.7 [+6.7, +10.7] points' in text
    assert re.search(r'\| GenMix improves every generator .*\| supported', text)
    assert (here / 'README.md').read_text() != PAGES['README.md']
    assert (here / 'docs' / 'real-images.md').read_text() == PAGES['docs/real-images.md']


def test_a_run_of_one_cohort_is_told_without_a_verdict():
    about = {
        'contrast': 'mixing',
        'gate': 2,
        'a': 'genmix-g',
        'b': 'g',
        'metric': 'balanced_accuracy',
        'rule': 'prior',
    }
    table = pd.DataFrame(
        [about | {'mean': 0.05, 'low': -0.01, 'high': 0.11, 'n': 5, 'cohorts': 1, 'verdict': None}]
    )
    said = readme.declared(table.assign(test_set='holdout'), 'holdout')
    assert said == 'mixing (genmix-g − g): +5.0 [-1.0, +11.0] points (5 runs of one cohort, holdout)'


def test_lost_marks_are_named(here):
    with pytest.raises(StudyError, match='put them back'):
        readme.written('README.md', PAGES['README.md'].replace('<!-- results', '<!-- resluts'), {})


def test_a_run_is_kept_whole(here, capsys):
    results = here / 'runs' / 'mine' / 'results'
    results.mkdir(parents=True)
    assert readme.main(['--from', 'runs/mine']) == 1 and 'make study' in capsys.readouterr().err
    for name in measured.KEPT:
        shutil.copy(here / 'measured' / 'study' / f'{name}.csv', results)
    (here / 'measured' / 'study' / 'selection_error.csv').unlink()
    assert (
        readme.main(['--from', 'runs/mine']) == 0
        and (here / 'measured' / 'study' / 'selection_error.csv').exists()
    )


def test_the_long_run_is_what_the_design_asks_for():
    """At least 16 classifiers of every arm, both test sets, all four learned generators."""
    long = measured.long_run()
    runs = long['metrics'].groupby(['arm', 'test_set']).seed.nunique()
    assert (runs >= 16).all() and set(long['metrics'].test_set) == {'holdout', 'population'}
    assert {f'genmix-{g}' for g in ('dcgan', 'stylegan', 'textual_inversion', 'diffusion', 'oracle')} <= set(
        long['metrics'].arm
    )
    assert measured.long_run('folder') is None


def test_other_data_stand_beside_nothing():
    parts = pd.DataFrame({'claim': ['unheard of'], 'of': 'paper', 'verdict': 'undecided'})
    assert measured.long_run_verdicts(parts, {'claims': parts.assign(claim='another')}) == ['-']
    assert claims.verdicts(parts) == {'unheard of': 'undecided'}


def test_a_run_on_real_images_is_kept_without_paths_of_this_machine(here):
    run = here / 'runs' / 'breast'
    (run / 'results').mkdir(parents=True)
    arms = pd.DataFrame({'arm': ['none', 'genmix-dcgan', 'dcgan'], 'mean': [0.6, 0.7, 0.65]})
    arms = arms.assign(low=arms['mean'] - 0.1, high=arms['mean'] + 0.1, label='all')
    arms = arms.assign(test_set='holdout', metric='balanced_accuracy', dose=0.0, balance='natural')
    arms = arms.assign(kind=['real', 'genmix', 'synthetic'], generator=['', 'dcgan', 'dcgan'])
    arms.to_csv(run / 'results' / 'arms.csv', index=False)
    contrast = {'a': 'genmix-dcgan', 'b': 'dcgan', 'metric': 'balanced_accuracy', 'mean': 0.05, 'low': -0.01}
    contrast |= {'high': 0.11, 'p': 0.2, 'minimum_detectable_effect': 0.08, 'n': 5}
    contrast |= {'verdict': 'undecided', 'test_set': 'holdout'}
    pd.DataFrame([contrast]).to_csv(run / 'results' / 'contrasts.csv', index=False)
    (run / 'results' / 'table.md').write_text('# Results\n\nOn clusters, not patients.\n')
    (run / 'params.yaml').write_text(
        'set: {dataset: medmnist, medmnist_flag: breastmnist, data_dir: /home/somebody/sets, image_size: 32}'
    )
    (run / 'audit').mkdir()
    pd.DataFrame(
        [('dcgan', 'all', 'kid', 8.1), ('dcgan', 'all', 'coverage', 0.013), ('dcgan', 'benign', 'kid', 3.0)],
        columns=['generator', 'label', 'metric', 'value'],
    ).to_csv(run / 'audit' / 'generator_card.csv', index=False)
    assert readme.main(['--from', 'runs/breast', '--real', 'BreastMNIST']) == 0
    text = (here / 'docs' / 'real-images.md').read_text()
    assert 'of the synthetic sets: dcgan 8.1 and 0.01. On clusters, not patients.' in text
    assert '| `none` | 60.0 [50.0, 70.0]' in text and text.index('| `dcgan` | 65.0') < text.index(
        '| `genmix-dcgan` | 70.0'
    )
    asked = 'dataset=medmnist medmnist_flag=breastmnist data_dir=/path/to/sets image_size=32'
    assert f'make all RUN=breastmnist SET="{asked}"' in text and 'somebody' not in text
    verdict = 'The mean of `genmix-<g>` is not distinguishable from that of the generators alone'
    assert f'{verdict}: +5.0 points [-1.0, +11.0]' in text and 'On clusters, not patients.' in text
    assert readme.main(['--from', 'runs/nothing', '--real', 'X']) == 1
