import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT
from test_cohorts import made_up

from genmix import StudyError
from genmix.generators import PAPER
from genmix.mixing.arms import arms_for
from genmix.results import measured
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


def keep_cohorts(here, rates, seeds):
    """Made-up cohorts as files of measured/study."""
    for cohort in made_up(rates, seeds).found:
        name = f'study/cohort-{cohort.about["cohort"]}.npz'
        cohort.save(here / 'measured' / name)
        checksums.note(here / 'measured', name)


def rates(arm):
    return 0.6 + 0.1 * (arm.kind == 'genmix')


def test_pages_follow_the_cohorts(here, capsys):
    """One cohort more, or another one, is another page; a file that was edited is named."""
    keep_cohorts(here, rates, [100])
    assert readme.main([]) == 0 and 'has 1 of its cohorts' in (here / 'README.md').read_text()
    keep_cohorts(here, rates, [101, 102])
    assert readme.main([]) == 0
    text, table = (here / 'README.md').read_text(), (here / 'docs' / 'results.md').read_text()
    assert '**The declared contrasts**, over 3 cohorts' in text and 'Not measured yet' not in text
    assert 'synthesis given mixing' in text and '(3 cohorts, population)' in text
    assert re.search(r'^- classification: .*“mixup sharpens class borders”', text, re.M)
    assert re.search(r'\| classification \| GenMix improves every generator.*\| supported', table)
    assert re.search(r'\| `genmix-dcgan@1/8` \| \d\d\.\d \[', table) and 'mean over 3 cohorts' in table
    keep_cohorts(here, lambda arm: 0.7, [102])
    assert readme.main([]) == 0 and (here / 'README.md').read_text() != text
    path = here / 'measured' / 'study' / 'cohort-101.npz'
    path.write_bytes(path.read_bytes() + b'x')
    assert readme.main([]) == 1 and 'cohort-101.npz is not as it was measured' in capsys.readouterr().err


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


def test_the_long_run_is_what_the_protocol_asks_for():
    """Cohorts that are committed have every arm, one classifier each, and a card."""
    for cohort in measured.cohorts().found:
        arms = [arm for arm, *_ in cohort.trials]
        assert set(arms_for([*PAPER, 'oracle'])) <= set(arms) and len(set(arms)) == len(arms)
        assert set(PAPER) <= set(cohort.about['card']['generator']) and cohort.about['cohort'] >= 100
    size = sum(path.stat().st_size for path in (ROOT / 'measured' / 'study').glob('*.npz'))
    assert size < 6e6


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
    assert readme.main(['--from', 'runs/breast']) == 1
