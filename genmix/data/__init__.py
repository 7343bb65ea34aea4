"""Where lesions come from (phantoms, folders of images, CT volumes, MedMNIST), and how the study's notebooks get at them."""
import pandas as pd

from genmix import StudyError
from genmix.data import audit, ct, ct_dicom, ct_read, ct_seg, ct_table, ctscan, folder, medmnist, phantom, splits
from genmix.data.cohort import Cohort
from genmix.limits import check
from genmix.study import files_hash, key_of

# What each kind of set is read with, beyond data_dir and image_size, and the modules that read it.
READING = {
    'phantom': ((), (phantom, ctscan)),
    'folder': ((), (folder,)),
    'ct': (('window', 'fov_times', 'margin_mm', 'slices_per_lesion', 'smallest_mm', 'classes'), (ct, ct_read, ct_seg, ct_dicom, ct_table)),
    'medmnist': (('medmnist_flag', 'medmnist_size', 'download'), (medmnist,)),
}


def make_cohort(study, dataset='phantom', data_dir='', labels_csv='', image_size=64, lesions=phantom.COUNTS,
                patients=phantom.N_PATIENTS, n_folds=5, folds=1, train_fraction=1., seed=0, **reading):
    """Stage `cohort` of a run: images.npy, manifest.csv, cohort.json, splits.csv, audit.csv and flagged.csv.  Returns (cohort, splits).

    reading  what ct.load and medmnist.load take (READING lists it); of another dataset it is passed over
    Every set is audited before it is split (`audit.examine`).  Raises StudyError for an unknown dataset and whatever the
    adapter or the split finds wrong.
    """
    check(dataset=dataset, image_size=image_size)
    if dataset in ('folder', 'ct') and not data_dir:
        holds = 'one sub-folder of images a class' if dataset == 'folder' else 'lesions.csv and the volumes'
        raise StudyError(f'dataset={dataset} needs data_dir: the folder with {holds}.')
    names, modules = READING[dataset]
    reading = {name: value for name, value in reading.items() if name in names}
    at = data_dir and str(study.outside(data_dir))
    table = labels_csv and str(study.outside(labels_csv) if study.outside(labels_csv).exists() else labels_csv)      # or relative to data_dir

    def read():
        if dataset == 'phantom':
            return phantom.draw('cohort', lesions, patients, image_size, seed), []
        if dataset == 'folder':
            return folder.load(at, image_size, table), []
        if dataset == 'ct':
            return ct.load(at, image_size, table, **reading, cache=study.path('.volumes'))
        return medmnist.load(at, image_size, **{name.removeprefix('medmnist_'): value for name, value in reading.items()})

    def build(out):
        cohort, found, flagged = audit.examine(*read())
        own = folds == 1 and 'official' in cohort.extra
        split = splits.official_splits(cohort, train_fraction, seed) if own else splits.make_splits(cohort, n_folds, folds, train_fraction, seed)
        cohort.save(out)
        for name, rows in (('splits', split), ('audit', found), ('flagged', flagged)):
            rows.to_csv(out / f'{name}.csv', index=False)

    params = {'dataset': dataset, 'image_size': image_size, 'n_folds': n_folds, 'folds': folds, 'train_fraction': train_fraction, 'seed': seed}
    params |= {'lesions': list(lesions), 'patients': patients} if dataset == 'phantom' else {'data_dir': data_dir, 'labels_csv': labels_csv, **reading}
    paths = [study.outside(path) for path in (data_dir, labels_csv) if path and dataset != 'phantom']
    if dataset == 'medmnist':           # of a folder of sets this one file, also that of the package's own folder; fetched before it is asked about
        paths = [medmnist.find(at, **{name.removeprefix('medmnist_'): value for name, value in reading.items()})[0]]
    inputs = [files_hash(path) for path in paths if path.exists()]
    if dataset == 'ct':
        inputs.append(key_of(list(ct_table.pseudonyms(ct.table_of(at, table)[1].patient).values())))       # other names, another cohort
    study.stage('cohort', build, params, inputs, [*modules, audit, splits])
    return open_cohort(study)


def open_cohort(study):
    """(cohort, splits) that 01_data made in this run; StudyError with the make target when it has not."""
    at = study.need('cohort', '01_data')
    return Cohort.load(at), pd.read_csv(at / 'splits.csv', dtype={'id': str, 'patient': str})


def audit_tables(study):
    """(audit, flagged) of this run's cohort: what `audit.examine` found, and the images it concerns."""
    at = study.need('cohort', '01_data')
    return pd.read_csv(at / 'audit.csv', keep_default_na=False, dtype=str), pd.read_csv(at / 'flagged.csv', dtype=str, keep_default_na=False)


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
