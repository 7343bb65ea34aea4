import numpy as np
import pytest

from genmix import StudyError
from genmix.data import build


def test_phantom_cohort_is_made_once_and_split(study):
    cohort, splits = build.make_cohort(
        study, lesions=(30, 12, 18), patients=30, image_size=32, train_fraction=0.5
    )
    stamp = study.path('cohort', 'provenance.json').stat().st_mtime_ns
    build.make_cohort(study, lesions=(30, 12, 18), patients=30, image_size=32, train_fraction=0.5)
    assert study.path('cohort', 'provenance.json').stat().st_mtime_ns == stamp
    parts = {role: build.part(study, role) for role in ('train', 'unused', 'test')}
    assert sum(map(len, parts.values())) == 60 and all(len(p) for p in parts.values())
    who = [set(p.patients) for p in parts.values()]
    assert not (who[0] & who[1] or who[0] & who[2] or who[1] & who[2])


def test_every_cohort_is_audited(study):
    cohort, _ = build.make_cohort(study, lesions=(9, 6, 9), patients=12, image_size=32)
    found, flagged = build.check_tables(study)
    assert found.columns.tolist() == [
        'check',
        'count',
        'of',
        'verdict',
        'note',
    ] and flagged.columns.tolist() == ['id', 'patient', 'class', 'check']
    count = found.set_index('check')['count']
    assert count['images'] == '24' and count['class cyst'] == '9' and set(flagged.id) <= set(cohort.ids)


def test_the_populations_never_meet(study):
    cohort, _ = build.make_cohort(study, lesions=(9, 6, 9), patients=12, image_size=32)
    population = build.population(study, (9, 6, 9))
    assert (
        not set(cohort.patients) & set(population.patients) and population.images.shape == cohort.images.shape
    )
    assert not any(np.array_equal(a, b) for a in cohort.images for b in population.images)


def test_a_folder_that_changes_is_read_again(study, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ('a', 'b'):
        (tmp_path / 'set' / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (40, 40)).astype(np.uint8)).save(
                tmp_path / 'set' / name / f'{i}.png'
            )
    first, _ = build.make_cohort(study, 'folder', str(tmp_path / 'set'), image_size=32)
    (tmp_path / 'set' / 'a' / '0.png').unlink()
    second, _ = build.make_cohort(study, 'folder', str(tmp_path / 'set'), image_size=32)
    assert (len(first), len(second)) == (12, 11) and first.class_names == ('a', 'b')
    table = tmp_path / 'outside.csv'
    for patient in ('x', 'y'):
        table.write_text(
            'file,patient,label\n'
            + ''.join(f'{k}/{i}.png,{patient}{k}{i % 3},{k}\n' for k in 'ab' for i in range(1, 6))
        )
        third, _ = build.make_cohort(study, 'folder', str(tmp_path / 'set'), str(table), image_size=32)
        assert third.patients[0].startswith(patient)


@pytest.mark.parametrize(
    'given, word',
    [
        ({'dataset': 'dicom'}, 'dataset is "dicom".*ct, medmnist'),
        ({'dataset': 'ct'}, 'dataset=ct needs data_dir.*lesions.csv'),
        ({'dataset': 'medmnist'}, 'needs medmnist_flag'),
        ({'image_size': 50}, 'image_size is 50'),
        ({'dataset': 'folder'}, 'needs data_dir'),
        ({'dataset': 'folder', 'data_dir': 'nowhere'}, 'nowhere'),
    ],
)
def test_errors(study, given, word):
    with pytest.raises(StudyError, match=word):
        build.make_cohort(study, **given)


def test_a_lonely_notebook_says_what_it_misses(study):
    with pytest.raises(StudyError, match='make 01_data'):
        build.part(study)
