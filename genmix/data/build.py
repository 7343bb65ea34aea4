"""The cohort of a run: where its lesions come from, and how the study's notebooks get at them."""

import importlib

import pandas as pd

from genmix import StudyError
from genmix.data import checks, splits
from genmix.data.cohort import Cohort
from genmix.data.phantom import plan
from genmix.run.files import files_hash
from genmix.run.limits import check
from genmix.run.provenance import code_key, key_of

# The module that reads each kind of set, and what it takes beyond data_dir and image_size.  By name, so that a run
# neither loads the readers of other sets nor depends on their code.
READERS = {
    'phantom': ('genmix.data.phantom.plan', ()),
    'folder': ('genmix.data.readers.folder', ()),
    'ct': (
        'genmix.data.readers.ct.patches',
        ('window', 'fov_times', 'margin_mm', 'slices_per_lesion', 'smallest_mm', 'classes'),
    ),
    'medmnist': ('genmix.data.readers.medmnist', ('medmnist_flag', 'medmnist_size', 'download')),
}


def make_cohort(
    study, dataset='phantom', data_dir='', labels_csv='', image_size=64, lesions=plan.COUNTS,
    patients=plan.N_PATIENTS, n_folds=5, folds=1, train_fraction=1.0, seed=0, **reading,
):  # fmt: skip
    """Stage `cohort` of a run: images.npy, manifest.csv, cohort.json, splits.csv, audit.csv and flagged.csv.

    reading  what the readers of CT volumes and MedMNIST take (READERS lists it); of another dataset it is ignored

    Every set is checked before it is split (`checks.examine`).  Returns (cohort, splits).  Raises StudyError for an
    unknown dataset and whatever the reader or the split finds wrong.
    """
    check(dataset=dataset, image_size=image_size)
    if dataset in ('folder', 'ct') and not data_dir:
        holds = 'one sub-folder of images a class' if dataset == 'folder' else 'lesions.csv and the volumes'
        raise StudyError(f'dataset={dataset} needs data_dir: the folder with {holds}.')
    reader, names = importlib.import_module(READERS[dataset][0]), READERS[dataset][1]
    reading = {name: value for name, value in reading.items() if name in names}
    at = data_dir and str(study.outside(data_dir))
    named = labels_csv and study.outside(labels_csv)
    table = labels_csv and str(named if named.exists() else labels_csv)  # or relative to data_dir

    def read():
        if dataset == 'phantom':
            return reader.draw('cohort', lesions, patients, image_size, seed), []
        if dataset == 'folder':
            return reader.load(at, image_size, table), []
        if dataset == 'ct':
            return reader.load(at, image_size, table, **reading, cache=study.path('.volumes'))
        return reader.load(at, image_size, **_plain(reading))

    def build(out):
        cohort, found, flagged = checks.examine(*read())
        if folds == 1 and 'official' in cohort.extra:
            split = splits.official_splits(cohort, train_fraction, seed)
        else:
            split = splits.make_splits(cohort, n_folds, folds, train_fraction, seed)
        cohort.save(out)
        for name, rows in (('splits', split), ('audit', found), ('flagged', flagged)):
            rows.to_csv(out / f'{name}.csv', index=False)

    params = {'dataset': dataset, 'image_size': image_size, 'n_folds': n_folds, 'folds': folds}
    params |= {'train_fraction': train_fraction, 'seed': seed}
    if dataset == 'phantom':
        params |= {'lesions': list(lesions), 'patients': patients}
    else:
        params |= {'data_dir': data_dir, 'labels_csv': labels_csv, **reading}
    study.stage(
        'cohort', build, params, [code_key(reader), *_read_files(study, dataset, reader, at, table, params)]
    )
    return open_cohort(study)


def _plain(reading):
    return {name.removeprefix('medmnist_'): value for name, value in reading.items()}


def _read_files(study, dataset, reader, at, table, params):
    """Fingerprints of the files that a cohort is read from."""
    if dataset == 'phantom':
        return []
    paths = [study.outside(path) for path in (params['data_dir'], params['labels_csv']) if path]
    if (
        dataset == 'medmnist'
    ):  # this one file of a folder of sets, or of the package's own; fetched before it is asked about
        reading = {name: params[name] for name in READERS['medmnist'][1] if name in params}
        paths = [reader.find(at, **_plain(reading))[0]]
    inputs = [files_hash(path) for path in paths if path.exists()]
    if dataset == 'ct':  # other names, another cohort
        patients = reader.table_of(at, table)[1].patient
        inputs.append(key_of(list(reader.tables.pseudonyms(patients).values())))
    return inputs


def open_cohort(study):
    """(cohort, splits) that 01_data made in this run; StudyError with the make target when it has not."""
    at = study.need('cohort', '01_data')
    return Cohort.load(at), pd.read_csv(at / 'splits.csv', dtype={'id': str, 'patient': str})


def check_tables(study):
    """(audit, flagged) of this run's cohort: what `checks.examine` found, and the images it concerns."""
    at = study.need('cohort', '01_data')

    def read(name):
        return pd.read_csv(at / f'{name}.csv', dtype=str, keep_default_na=False)

    return read('audit'), read('flagged')


def part(study, role='train', fold=0):
    """The lesions of one role ('train', 'unused', 'test') of this run's cohort: the only door to a split."""
    return splits.select(*open_cohort(study), fold, role)


def population(study, lesions, seed=0):
    """Stage `population`: phantoms of new patients that nothing is learned from; read by 08 and 09 only."""
    cohort, _ = open_cohort(study)
    size = cohort.images.shape[1]
    params = {'lesions': list(lesions), 'image_size': size, 'seed': seed}

    def build(out):
        plan.draw('test', lesions, image_size=size, seed=seed).save(out)

    study.stage('population', build, params)
    return Cohort.load(study.folder / 'population')
