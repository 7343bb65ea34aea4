"""A divided set: parts that share no patient, classes in proportion, and what a run on one part sees."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED, config_of
from test_duplicates import pictures

from genmix import StudyError
from genmix.audit import heldout
from genmix.classifier.trials import sets_to_predict
from genmix.data import build, checks, division
from genmix.data.cohort import Cohort
from genmix.data.readers import medmnist
from genmix.run.study import Study

NPZ = SHARED / 'medmnist' / 'pneumoniamnist.npz'
SMALL = division.Division(cohorts=3, images=60, dev=2)


def config(dataset, **changes):
    return config_of(
        build.CohortConfig, '01_data', dataset=dataset, image_size=32, train_fraction=1.0, **changes
    )


def large(n=420, share=0.3, seed=0):
    """`n` images of patients with one to three of one class or two, as a set with an official split."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n), rng.integers(1, 4, n))[:n]
    labels = np.where(rng.random(n) < 0.1, 1, (patients % 10 < 10 * share).astype(int))
    official = pd.DataFrame({'official': rng.choice(['train', 'test'], n)})
    images = rng.integers(0, 256, (n, 32, 32)).astype(np.uint8)
    return Cohort(images, labels, [f'P{k:03d}' for k in patients], ['a', 'b'], 'a set', extra=official)


@pytest.mark.parametrize('seed', range(3))
def test_parts_share_no_patient_and_have_the_classes_of_the_set(seed):
    cohort = large(seed=seed)
    parts = division.parts_of(cohort, SMALL)
    assert list(parts) == ['00', '01', '02', 'dev', 'population']
    who = [set(part.patients) for part in parts.values()]
    assert sum(map(len, who)) == len(set.union(*who)) and sum(map(len, parts.values())) == len(cohort)
    assert sorted(np.concatenate([part.ids for part in parts.values()])) == sorted(cohort.ids)
    for name, part in parts.items():
        size = {'dev': 120, 'population': len(cohort) - 5 * 60}.get(name, 60)
        assert abs(len(part) - size) <= 5
        assert abs((part.labels == 1).mean() - (cohort.labels == 1).mean()) < 0.05
        assert 'official' not in part.extra and part.source.startswith('a set; ')
    dev = parts['dev'].extra.cohort
    assert set(dev) == {0, 1} and dev.groupby(parts['dev'].patients).nunique().max() == 1


def test_a_large_cluster_is_a_tenth_of_one_part_at_most():
    cohort = large()
    one = replace(cohort, patients=np.where(np.arange(len(cohort)) < 50, 'crowd', cohort.patients))
    parts = division.parts_of(one, SMALL)
    crowd = {name: int((part.patients == 'crowd').sum()) for name, part in parts.items()}
    assert sum(crowd.values()) == max(crowd.values()) == 6
    assert all('44 of large clusters left out; ' in part.source for part in parts.values())


def test_a_large_population_is_cut_and_keeps_its_classes(monkeypatch):
    monkeypatch.setattr(division, 'MOST_TESTED', 80)
    cohort = large()
    tested = division.parts_of(cohort, SMALL)['population']
    assert len(tested) == 80 and abs((tested.labels == 1).mean() - (cohort.labels == 1).mean()) < 0.12


def test_a_set_that_is_too_small_is_refused_with_what_would_fit():
    cohort = large(share=0.5)
    with pytest.raises(StudyError, match='COHORTS=4 or fewer, or smaller cohorts, IMAGES=52 or fewer'):
        division.parts_of(cohort, replace(SMALL, cohorts=5))
    assert len(division.parts_of(cohort, replace(SMALL, cohorts=4))) == 6
    assert len(division.parts_of(cohort, replace(SMALL, cohorts=5, images=52))) == 7
    crowd = replace(cohort, patients=np.where(np.arange(len(cohort)) < 50, 'crowd', cohort.patients))
    with pytest.raises(StudyError, match='has 376 images to use.*, IMAGES=46 or fewer'):
        division.parts_of(crowd, replace(SMALL, cohorts=5))
    assert len(division.parts_of(crowd, replace(SMALL, cohorts=5, images=46))) == 7
    with pytest.raises(StudyError, match='take 360: choose smaller cohorts, IMAGES=25 or fewer'):
        division.parts_of(cohort[:150], SMALL)
    with pytest.raises(StudyError, match='take 360: it is too small to be divided'):
        division.parts_of(cohort[:100], SMALL)
    with pytest.raises(
        StudyError, match=r'Class "b" has \d+ patients, and a cohort of 60 of 420 images would'
    ):
        division.parts_of(large(share=0), SMALL)


def test_phantoms_are_not_divided(study):
    with pytest.raises(StudyError, match='phantoms are drawn anew'):
        division.divide(study, config('phantom'), SMALL)


@pytest.fixture
def divided(study, tmp_path):
    """A run with a divided MedMNIST file of made-up pictures; its folder."""
    pytest.importorskip('medmnist')
    x, y = pictures(420, size=28), (np.arange(420) % 3 == 0).astype(np.uint8)[:, None]
    cuts = zip(medmnist.PARTS, np.split(x, [200, 260]), np.split(y, [200, 260]))
    np.savez(
        tmp_path / 'pneumoniamnist.npz',
        **{f'{part}_{what}': v for part, *own in cuts for what, v in zip(('images', 'labels'), own)},
    )
    return division.divide(study, config('medmnist'), SMALL, data_dir=str(tmp_path / 'pneumoniamnist.npz'))


def test_a_run_on_one_part_is_tested_on_the_rest_and_judged_on_dev(study, divided):
    """Its split is its own; what it learns from is in no test set and in no other cohort."""
    seen = []
    for k in (0, 1):
        run = Study(f'part-{k}', study.home)
        cohort, split = build.make_cohort(
            run, config('subsample', seed=k), data_dir=f'runs/test/{division.STAGE}/0{k}'
        )
        assert set(split.fold0) == {'train', 'test'} and f'sub-sample {k + 1} of 3' in cohort.source
        sets = sets_to_predict(run, 0)
        assert list(sets) == ['holdout', 'population', 'dev'] and len(sets['dev']) == len(
            Cohort.load(divided / 'dev')
        )
        held = heldout.audit_lesions(run, 'subsample', 0, 0, 0)
        judged = [*held['evaluation'].ids, *held['reference'].ids]
        assert sorted(judged) == sorted(sets['dev'].ids) and set(held['judge_training'].ids) == set(
            build.part(run).ids
        )
        seen += [cohort.patients, sets['population'].patients, sets['dev'].patients]
    assert set(seen[1]) == set(seen[4]) and set(seen[2]) == set(seen[5])
    assert all(not set(a) & set(b) for i, a in enumerate(seen[:4]) for b in seen[:i])


def test_a_part_that_is_not_there_is_named(study):
    with pytest.raises(StudyError, match='holds no part of a divided set: `make study-real`'):
        build.make_cohort(study, config('subsample'), data_dir='runs/none/divided/00')
    with pytest.raises(StudyError, match='dataset=subsample needs data_dir'):
        build.make_cohort(study, config('subsample'))


@pytest.mark.skipif(not NPZ.exists(), reason="the developers' MedMNIST files are not on this machine")
def test_pneumoniamnist_has_fifteen_cohorts_and_a_population():
    cohort, _, _ = checks.examine(*medmnist.load(NPZ, 32))
    parts = division.parts_of(cohort, division.Division(cohorts=15, images=250, dev=4))
    share = {name: (part.labels == 0).mean() for name, part in parts.items()}
    assert len(parts) == 17 and all(abs(len(parts[f'{k:02d}']) - 250) <= 2 for k in range(15))
    assert len(parts['population']) > 800 and max(share.values()) - min(share.values()) < 0.02
