"""Where lesions come from (phantoms, folders of images), and how the study's notebooks get at them."""
import pandas as pd

from genmix import StudyError
from genmix.data import audit, ctscan, folder, phantom, splits
from genmix.data.cohort import Cohort
from genmix.limits import check
from genmix.study import files_hash


def make_cohort(study, dataset='phantom', data_dir='', labels_csv='', image_size=64, lesions=phantom.COUNTS,
                patients=phantom.N_PATIENTS, n_folds=5, folds=1, train_fraction=1., seed=0):
    """Stage `cohort` of a run: images.npy, manifest.csv, cohort.json and splits.csv.  Returns (cohort, splits).

    Raises StudyError for an unknown dataset and whatever the adapter or the split finds wrong.
    """
    check(dataset=dataset, image_size=image_size)
    if dataset == 'folder' and not data_dir:
        raise StudyError('dataset=folder needs data_dir: the folder with one sub-folder of images a class.')

    def build(out):
        if dataset == 'phantom':
            cohort = phantom.draw('cohort', lesions, patients, image_size, seed)
        else:
            cohort = folder.load(study.outside(data_dir), image_size, labels_csv and str(study.outside(labels_csv)))
        cohort.save(out)
        splits.make_splits(cohort, n_folds, folds, train_fraction, seed).to_csv(out / 'splits.csv', index=False)

    params = {'dataset': dataset, 'image_size': image_size, 'n_folds': n_folds, 'folds': folds, 'train_fraction': train_fraction, 'seed': seed}
    params |= {'lesions': list(lesions), 'patients': patients} if dataset == 'phantom' else {'data_dir': data_dir, 'labels_csv': labels_csv}
    inputs = [files_hash(study.outside(path)) for path in (data_dir, labels_csv) if path and dataset == 'folder']
    study.stage('cohort', build, params, inputs, [phantom, ctscan, splits] if dataset == 'phantom' else [folder, audit, splits])
    return open_cohort(study)


def open_cohort(study):
    """(cohort, splits) that 01_data made in this run; StudyError with the make target when it has not."""
    at = study.need('cohort', '01_data')
    return Cohort.load(at), pd.read_csv(at / 'splits.csv', dtype={'id': str, 'patient': str})


def part(study, role='train', fold=0):
    """The lesions of one role ('train', 'unused', 'test') of this run's cohort: the only door to a split."""
    return splits.select(*open_cohort(study), fold, role)


def population(study, lesions, seed=0):
    """Stage `population`: phantoms of new patients that nothing is learned from or tuned on; read by 08 and 09 only."""
    cohort, _ = open_cohort(study)
    size = cohort.images.shape[1]
    study.stage('population', lambda out: phantom.draw('test', lesions, image_size=size, seed=seed).save(out),
                {'lesions': list(lesions), 'image_size': size, 'seed': seed}, source=[phantom, ctscan])
    return Cohort.load(study.path('population'))
