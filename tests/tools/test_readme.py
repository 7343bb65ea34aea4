import re
import shutil

import pandas as pd
import pytest
from conftest import ROOT

from genmix import StudyError
from genmix.results import claims, measured
from tools import readme

README = (ROOT / 'README.md').read_text(encoding='utf-8')


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A copy of what the README is written from."""
    shutil.copytree(ROOT / 'measured', tmp_path / 'measured')
    shutil.copytree(ROOT / 'params', tmp_path / 'params')
    shutil.copy(ROOT / 'README.md', tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_says_what_was_measured(here):
    assert readme.written(README) == README, 'run: python -m genmix.report'


def test_another_number_is_another_readme(here):
    path = here / 'measured' / 'study' / 'claims.csv'
    parts = pd.read_csv(path)
    parts.loc[parts.claim == 'GenMix improves every generator', ['mean', 'low', 'high']] = [
        0.0871,
        0.0671,
        0.1071,
    ]
    parts.loc[parts.claim == 'GenMix improves every generator', 'verdict'] = 'supported'
    parts.to_csv(path, index=False)
    assert readme.main([]) == 0
    text = (here / 'README.md').read_text()
    assert (
        text != README
        and '+8.7 [+6.7, +10.7] points' in text
        and re.search(r'\| GenMix improves every generator .*\| supported', text)
    )


def test_lost_marks_are_named(here):
    with pytest.raises(StudyError, match='put them back'):
        readme.written(README.replace('<!-- results', '<!-- resluts'))


def test_a_run_is_kept_whole(here, capsys):
    results = here / 'runs' / 'mine' / 'results'
    results.mkdir(parents=True)
    assert readme.main(['--from', 'runs/mine']) == 1 and 'make study' in capsys.readouterr().err
    for name in measured.KEPT:
        shutil.copy(here / 'measured' / 'study' / f'{name}.csv', results)
    (here / 'measured' / 'study' / 'luck.csv').unlink()
    assert readme.main(['--from', 'runs/mine']) == 0 and (here / 'measured' / 'study' / 'luck.csv').exists()


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
    rows = [
        (a, 'holdout', 'all', 'balanced_accuracy', m, m - 0.1, m + 0.1)
        for a, m in (('none', 0.6), ('genmix-dcgan', 0.7), ('dcgan', 0.65))
    ]
    pd.DataFrame(rows, columns=['arm', 'test_set', 'label', 'metric', 'mean', 'low', 'high']).to_csv(
        run / 'results' / 'arms.csv', index=False
    )
    pd.DataFrame(
        [
            (
                'genmix-dcgan',
                'dcgan',
                'balanced_accuracy',
                0.05,
                -0.01,
                0.11,
                0.2,
                0.08,
                5,
                'undecided',
                'holdout',
            )
        ],
        columns=['a', 'b', 'metric', 'mean', 'low', 'high', 'p', 'detectable', 'n', 'verdict', 'test_set'],
    ).to_csv(run / 'results' / 'contrasts.csv', index=False)
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
    text = (here / 'README.md').read_text()
    assert 'of the synthetic sets: dcgan 8.1 and 0.01. On clusters, not patients.' in text
    assert '| `none` | 60.0 [50.0, 70.0]' in text and text.index('| `dcgan` | 65.0') < text.index(
        '| `genmix-dcgan` | 70.0'
    )
    assert (
        'make all RUN=breastmnist SET="dataset=medmnist medmnist_flag=breastmnist data_dir=/path/to/sets image_size=32"'
        in text
        and 'somebody' not in text
    )
    assert (
        'The mean of genmix-<g> cannot be told from that of the generators alone: +5.0 points [-1.0, +11.0]'
        in text
        and 'On clusters, not patients.' in text
    )
    assert readme.main(['--from', 'runs/nothing', '--real', 'X']) == 1
