import json
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
from genmix.results.intervals import WORDS
from tools import checksums, readme, real_images

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


def keep_cohorts(here, rates, seeds, folder='study'):
    """Made-up cohorts as files of measured/."""
    for cohort in made_up(rates, seeds).found:
        name = f'{folder}/cohort-{cohort.about["cohort"]}.npz'
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


def test_cohorts_of_real_images_are_told_without_verdicts(here):
    """Nothing, then one cohort, then three: differences, what was detectable, the rule, no word of a gate."""
    page, folder = here / 'docs' / 'real-images.md', here / 'measured' / 'real' / 'chest'
    shutil.rmtree(folder, ignore_errors=True)
    assert 'No set of real images has been divided' in real_images.cohorts_block({}, None)
    about = {'asked': {'dataset': 'folder', 'generators': ['dcgan', 'diffusion']}, 'source': '900 images'}
    about |= {'division': {'cohorts': 15, 'images': 40, 'dev': 4}, 'population': {'normal': 30, 'ill': 70}}
    about |= {'tried': {'none': [0.7] * 4, '1': [0.6] * 4, '0.5': [0.8] * 4}}
    folder.mkdir()
    (folder / 'set.json').write_text(json.dumps(about))
    for seeds, said in (
        ([100], '1 of 15 cohorts are finished'),
        ([101, 102], '3 of 15 cohorts are finished'),
    ):
        keep_cohorts(here, rates, seeds, 'real/chest')
        assert readme.main([]) == 0 and said in page.read_text()
        assert ('mean over 3 cohorts' in page.read_text()) == (len(seeds) == 2)
    text = page.read_text().split('<!-- cohorts')[1].split('<!-- end of cohorts')[0]
    asked = 'SET="dataset=folder generators=[dcgan,diffusion] data_dir=/path/to/images"'
    assert f'`make study-real RUN=chest COHORTS=15 IMAGES=40 {asked}`' in text
    assert 'tested on the same images: 30 normal, 70 ill' in text and 'strength 0.5 is taken' in text
    assert re.search(r'synthesis given mixing .*\(3 cohorts, population\); detectable \d+\.\d points', text)
    assert not [word for word in WORDS if word in text]
    assert 'chest' not in (here / 'README.md').read_text()


def test_one_run_on_real_images_decides_nothing():
    said = real_images.without_information(
        {
            'name': 'mixing',
            'mean': 0.05,
            'low': -0.01,
            'high': 0.11,
            'minimum_detectable_effect': 0.086,
            'n': 5,
        }
    )
    assert said.startswith(
        'Mixing: +5.0 points [-1.0, +11.0] (5 runs of one cohort, holdout): no information'
    )
    assert 'only from 8.6 points on' in said and 'undecided' not in said


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
    contrast = {'contrast': 'mixing at matched dose and mass', 'metric': 'balanced_accuracy', 'rule': 'prior'}
    contrast |= {
        'mean': 0.05,
        'low': -0.01,
        'high': 0.11,
        'p': 0.2,
        'minimum_detectable_effect': 0.08,
        'n': 5,
    }
    contrast |= {'test_set': 'holdout'}
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
    found = (
        'Mixing at matched dose and mass: +5.0 points [-1.0, +11.0] (5 runs of one cohort, holdout): no inf'
    )
    assert found in text and 'only from 8.0 points on' in text and 'On clusters, not patients.' in text
    assert readme.main(['--from', 'runs/nothing', '--real', 'X']) == 1
    assert readme.main(['--from', 'runs/breast']) == 1
