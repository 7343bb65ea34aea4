"""Cohorts of real images: what each is asked, how the augmentation is chosen, what is refused before work."""

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, make
from PIL import Image
from test_compact import NAMES, about, population
from test_duplicates import pictures
from test_protocol import TEXT

from genmix import StudyError
from genmix.appendix import long_run, real_cohorts, regime
from genmix.appendix.long_run import Plan
from genmix.data.division import Division
from genmix.mixing.arms import arms_for
from genmix.results import calibration, compact, measured, metrics
from genmix.results.compact import Compact
from genmix.run.settings import as_set, split_set
from tools import study_real as command
from tools.study import asked_of

SMALL = Division(cohorts=15, images=26, dev=4)
SMOKE = Plan(profile='smoke')


def folder_of_images(root, n=560, seed=0):
    """Unrelated pictures in two sub-folders, of which one is darker."""
    for i, image in enumerate(pictures(n, seed, 32)):
        dark = i % 5 < 2
        place = root / ('dark' if dark else 'light')
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 0.5 + (20 if dark else 100)).astype(np.uint8)).save(place / f'{i:03d}.png')
    return root


@pytest.fixture
def here(project, monkeypatch):
    """A project folder in which commands run."""
    (project / 'measured').mkdir()
    (project / 'PROTOCOL.md').write_text(TEXT)
    (project / 'notebooks').symlink_to(ROOT / 'notebooks')
    monkeypatch.chdir(project)
    return project


def test_settings_are_written_as_they_are_read():
    pairs = [('data_dir', "/a b/it's"), ('arms', '[none,classical]'), ('alpha', '0.2'), ('seed', '3')]
    assert split_set(as_set(pairs)) == pairs
    assert as_set([('arms', ['none', 'mixup'])]) == 'arms=[none,mixup]'
    assert split_set(as_set([('plugin_params', '{a: {b: 1}}'), ('x', 1.0)])) == [
        ('plugin_params', '{a: {b: 1}}'),
        ('x', '1.0'),
    ]


def test_a_cohort_is_asked_for_its_part_and_what_the_whole_was_asked(here):
    text = "dataset=folder data_dir='/some where/set' channel=red image_size=32 01_data.n_folds=4 alpha=0.7"
    plan, values = real_cohorts.real_plan('chest', text, SMALL, Plan(steps=1000, tuned=('mixup-1000',)))
    asked = dict(split_set(replace(plan, strength=0.25).asked(103)))
    assert asked.pop('data_dir') == 'runs/real-chest/divided/03'
    assert asked == {
        'seed': '103',
        'seeds': '1',
        'arms': '[all,mixup-1000]',
        '08_classification.steps': '1000',
        '01_data.train_fraction': '1.0',
        'image_size': '32',
        '01_data.n_folds': '4',
        'alpha': '0.7',
        'augmentation_strength': '0.25',
        'dataset': 'subsample',
    }
    assert values['01_data']['data_dir'] == '/some where/set' and values['01_data']['train_fraction'] == 1.0
    assert plan.run(103) == 'real-chest-103' and plan.folder(here) == here / 'measured' / 'real' / 'chest'
    assert plan.about['set']['asked'] == {
        'dataset': 'folder',
        'channel': 'red',
        'image_size': 32,
        '01_data.n_folds': 4,
        'alpha': 0.7,
    }
    assert 'data_dir' not in asked_of(plan, 103)
    fewer, _ = real_cohorts.real_plan('chest', text + ' train_fraction=0.5', SMALL, SMOKE)
    assert _['01_data']['train_fraction'] == 0.5 and fewer.run(100) == 'real-smoke-chest-100'
    assert fewer.folder(here) == here / 'runs' / 'cohorts-smoke-chest'


def test_the_strength_is_no_free_choice_and_words_are_checked(here):
    for text, message in (
        ('dataset=folder 08_classification.augmentation_strength=0.5', 'is chosen on the dev cohorts'),
        ('dataset=folder chanel=red', 'did you mean "channel"'),
    ):
        with pytest.raises(StudyError, match=message):
            real_cohorts.real_plan('x', text, SMALL, SMOKE)


def test_every_strength_is_tried_on_each_dev_cohort_and_kept(here, tmp_path, monkeypatch):
    """Trained on one dev cohort, tested on the others; no image of a cohort or of the population enters."""
    root = folder_of_images(tmp_path / 'set')
    plan, values = real_cohorts.real_plan(
        'x', f'dataset=folder data_dir={root} image_size=32 08_classification.steps=2', SMALL, SMOKE
    )
    seen, real = [], regime.train_arm
    monkeypatch.setattr(
        regime, 'train_arm', lambda arm, train, *rest: seen.append((arm, train)) or real(arm, train, *rest)
    )
    found = real_cohorts.measure(plan, values, workers=1)
    study, divided = real_cohorts.divide(plan, values)
    assert list(found['tried']) == ['none', '1', '0.5', '0.25', '0.125']
    assert all(len(v) == 4 and all(0 <= x <= 1 for x in v) for v in found['tried'].values())
    assert sum(found['population'].values()) == 560 - 19 * 26 and found['asked'] == plan.whole
    assert str(root) not in json.dumps(found) and found['source'].endswith('kept together)')
    assert len(list((study.folder / 'strengths').glob('[0-9]*'))) == 5 * 4 * real_cohorts.TRAININGS
    stamps = {p: p.stat().st_mtime_ns for p in (study.folder / 'strengths').rglob('result.json')}
    assert real_cohorts.measure(plan, values, workers=1) == found
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}
    dev = real_cohorts.Cohort.load(divided / 'dev')
    for arm, train in seen:
        assert arm.classical == (arm.name == 'classical') and set(train.ids) < set(dev.ids)
        assert dev.extra.cohort[np.isin(dev.ids, train.ids)].nunique() == 1


TRIED = {'none': [0.7, 0.7], '1': [0.6, 0.7], '0.5': [0.8, 0.7]}


def packed(seed, plan):
    """A small cohort file as a run of that plan leaves it."""
    arms = dict(arms_for())
    table = metrics.reweigh(population(arms, n=60), pd.Series([676, 130, 484]))
    cohort = compact.pack(calibration.scale(table, NAMES), about(arms))
    asked = {'set': asked_of(plan, seed), 'profile': plan.profile}
    cohort.about.update({'cohort': seed, 'params': asked, **plan.about})
    return cohort


@pytest.fixture
def made(here, monkeypatch):
    """(seeds that were made, what was divided): trainings and runs are replaced by what they leave."""
    seeds, divided = [], []

    def finish(seed, home, plan, cores=1, keep=False):
        seeds.append((seed, plan.strength))
        packed(seed, plan).save(plan.folder(home, seed) / f'cohort-{seed}.npz')
        return seed, ''

    def measure(plan, values, workers=0, scheduler=''):
        found = {'asked': plan.whole, 'division': asdict(plan.division), 'source': 'a set'}
        return found | {'population': {'a': 3, 'b': 4}, 'tried': TRIED}

    monkeypatch.setattr(long_run, 'finish', finish)
    monkeypatch.setattr(real_cohorts, 'measure', measure)
    monkeypatch.setattr(real_cohorts, 'divide', lambda plan, values: divided.append(plan.division))
    return seeds, divided


ASK = ['--name', 'chest', '--set', 'dataset=folder data_dir=/home/somebody/x image_size=32', '--workers', '1']


def test_only_what_is_missing_is_made_at_the_strength_of_dev(here, made, capsys):
    seeds, divided = made
    assert command.main([*ASK, '--only', '100-101']) == 0
    assert seeds == [(100, 0.5), (101, 0.5)] and [d.cohorts for d in divided] == [15]
    folder = here / 'measured' / 'real' / 'chest'
    names = {'set.json', 'cohort-100.npz', 'cohort-101.npz'}
    assert set(measured.checksums(here / 'measured')) == {f'real/chest/{name}' for name in names}
    assert 'somebody' not in (folder / 'set.json').read_text() + str(
        Compact.load(folder / 'cohort-100.npz').about
    )
    assert command.main([*ASK, '--only', '3']) == 0 and seeds[2:] == [(102, 0.5)]
    assert command.main([*ASK, '--only', '3']) == 0 and len(seeds) == 3 and len(divided) == 2
    ((_, (about, cohorts)),) = measured.real_sets().items()
    assert len(cohorts) == 3 and about['tried'] == TRIED and len(measured.cohorts()) == 0
    capsys.readouterr()
    for words, message in (
        (['--cohorts', '16'], 'was made with another division'),
        (['--images', '300'], 'was made with another division'),
        (['--set', 'dataset=folder data_dir=/y image_size=64'], 'was made with another asked'),
    ):
        assert command.main([*ASK, *words]) == 1
        said = capsys.readouterr().err
        assert message in said and said.count('\n') == 1
    assert len(seeds) == 3


def test_a_set_on_which_the_augmentation_hurts_is_out(here, made, monkeypatch, capsys):
    monkeypatch.setitem(TRIED, 'none', [0.9, 0.9])
    for _ in range(2):  # the second time from set.json
        assert command.main(ASK) == 1
        assert 'chest is out: on its dev cohorts classical augmentation loses' in capsys.readouterr().err
    assert made == ([], []) and (here / 'measured' / 'real' / 'chest' / 'set.json').exists()


def test_what_cannot_be_asked_is_named(here, made, capsys):
    for words, message in (
        (['--name', 'cpu'], 'need a name for their set'),
        (['--name', '../x'], 'begins with a letter or a digit'),
        (['--only', '115'], 'ONLY names cohort 115, but there are 15 of this set, 100 to 114'),
        (['--only', 'x'], 'ONLY is "x"'),
        (['--cohorts', '1'], 'cohorts is 1'),
        (['--images', '5'], 'images is 5'),
    ):
        assert command.main([*ASK, *words]) == 1
        assert message in capsys.readouterr().err
    assert made == ([], [])


def test_a_set_that_is_too_small_is_refused_before_anything_is_trained(here, tmp_path, capsys):
    root = folder_of_images(tmp_path / 'set', 60)
    words = f'dataset=folder data_dir="{root}" image_size=32'
    assert command.main(['--name', 'few', '--profile', 'smoke', '--set', words]) == 1
    said = capsys.readouterr().err
    assert 'The set has 60 images to use; 15 cohorts of 250' in said and said.count('\n') == 1
    assert not (here / 'runs' / 'real-smoke-few' / 'strengths').exists()


@pytest.mark.smoke
@pytest.mark.long
def test_a_cohort_of_a_folder_from_its_images_to_the_page(clone, tmp_path_factory):
    """`make study-real` on the smoke profile: divided, tried, made, packed; then nothing."""
    root = folder_of_images(tmp_path_factory.mktemp('set'))
    asked = f'dataset=folder data_dir={root} image_size=32 generators=[dcgan] arms=[none,classical,dcgan@1/8]'
    goal = ('study-real', 'RUN=toy', 'ONLY=100', 'COHORTS=5', 'IMAGES=26', 'PROFILE=smoke', f'SET={asked}')
    done = make(clone, *goal)
    assert done.returncode == 0, done.stdout + done.stderr
    folder, run = clone / 'runs' / 'cohorts-smoke-toy', clone / 'runs' / 'real-smoke-toy-100'
    cohort, chosen = Compact.load(folder / 'cohort-100.npz'), json.loads((folder / 'set.json').read_text())
    assert {t[:2] for t in cohort.trials} == {('none', 100), ('classical', 100), ('dcgan@1/8', 100)}
    assert np.bincount(cohort.labels).tolist() == list(chosen['population'].values())
    assert np.isfinite(cohort.temperature).all() and cohort.about['source'].endswith('sub-sample 1 of 5')
    assert str(root) not in json.dumps(cohort.about) and cohort.about['set']['name'] == 'toy'
    assert set(cohort.about['card']['generator']) == {'dcgan'} and not list(run.rglob('*.npy'))
    again = make(clone, *goal)
    assert again.returncode == 0 and '1 of 1 cohorts are finished' in again.stdout
