"""The cohort of a run: where its lesions come from, and how the study's notebooks get it."""

import importlib
from dataclasses import asdict, dataclass
from functools import partial

import pandas as pd

from genmix import StudyError
from genmix.data import splits
from genmix.data.cohort import Cohort, read_rows
from genmix.data.phantom import plan
from genmix.run.files import files_hash
from genmix.run.limits import check
from genmix.run.provenance import code_key, key_of

FILES = ('data_dir', 'labels_csv')
PICTURES = ('channel', 'skip_faulty')
PATCHES = ('window', 'fov_times', 'margin_mm', 'slices_per_lesion', 'smallest_mm')
MEDMNIST = ('medmnist_flag', 'medmnist_size', 'download')
# The module that reads each kind of set, and the parameters that it takes.  By name, so that a run neither
# loads the readers of other sets nor depends on their code.
READERS = {
    'phantom': ('genmix.data.phantom.plan', ('lesions', 'patients')),
    'folder': ('genmix.data.readers.folder', (*FILES, *PICTURES)),
    'ct': ('genmix.data.readers.ct.dataset', (*FILES, *PATCHES, 'classes')),
    'medmnist': ('genmix.data.readers.medmnist', ('data_dir', 'channel', *MEDMNIST)),
    'subsample': ('genmix.data.readers.subsample', ('data_dir',)),
}
CALIBRATION_SEED = 100_000  # plus that of the cohort: no other use of population `dev` reaches it
HOLDS = {
    'folder': 'one sub-folder of images per class',
    'ct': 'lesions.csv and the volumes',
    'subsample': 'a part of a large set, as `make study-real` divides it',
}


@dataclass(frozen=True, kw_only=True)
class CohortConfig:
    """What every cohort is made with; the bounds are those of `run.limits`.

    dataset         one of READERS
    image_size      pixels a side
    n_folds, folds, train_fraction  as of `splits.make_splits`
    seed            of the phantoms and of the split
    """

    dataset: str
    image_size: int
    n_folds: int
    folds: int
    train_fraction: float
    seed: int

    def __post_init__(self):
        check(**vars(self))


def make_cohort(study, config, **reading):
    """Stage `cohort` of a run: images.npy, manifest.csv, cohort.json, splits.csv, audit.csv and flagged.csv.

    config   CohortConfig
    reading  parameters of the readers (READERS lists them); those of another dataset are ignored

    Every set is checked before it is split (`checks.examine`).  Returns (cohort, splits).  Raises StudyError
    for what the reader, the checks or the split find wrong.

    A sub-sample brings images that are no part of it: stages `population` and `calibration`.
    """
    reader, reading = reader_of(config, reading)

    def build(out):
        from genmix.data import checks  # slow to import, and needed once

        cohort, found, flagged = checks.examine(*read_set(study, reader, config, reading))
        if config.folds == 1 and 'official' in cohort.extra:
            split = splits.official_splits(cohort, config.train_fraction, config.seed)
        else:
            own = config.n_folds, config.folds, config.train_fraction, config.seed
            split = splits.make_splits(cohort, *own)
        cohort.save(out)
        for name, rows in (('splits', split), ('audit', found), ('flagged', flagged)):
            rows.to_csv(out / f'{name}.csv', index=False)

    inputs = [code_key(reader), *read_from(study, reader, config, reading)]
    study.stage('cohort', build, asdict(config) | reading, inputs)
    if config.dataset == 'subsample':
        for name, folder in reader.beside(study.outside(reading['data_dir'])).items():
            copy = partial(_copy, folder)
            study.stage(name, copy, inputs=[files_hash(folder)], code=reader)
    return open_cohort(study)


def _copy(folder, out):
    Cohort.load(folder).save(out)


def reader_of(config, reading):
    """(module that reads the dataset, those of the parameters `reading` that it takes).

    StudyError where it lacks the folder of images.
    """
    module, names = READERS[config.dataset]
    reading = {name: value for name, value in reading.items() if name in names}
    if config.dataset in HOLDS and not reading.get('data_dir'):
        raise StudyError(f'dataset={config.dataset} needs data_dir: the folder with {HOLDS[config.dataset]}.')
    return importlib.import_module(module), reading


def _places(study, data_dir='', labels_csv='', **_):
    """(data folder, table) as paths, '' where not given; a table relative to the folder stays as it is."""
    table = labels_csv and study.outside(labels_csv)
    return data_dir and str(study.outside(data_dir)), str(table if table and table.exists() else labels_csv)


def _medmnist(reading):
    return {name.removeprefix('medmnist_'): reading[name] for name in MEDMNIST if name in reading}


def read_set(study, reader, config, reading):
    """(cohort, notes for the checks) of the reader of config.dataset."""
    size, (data_dir, table) = config.image_size, _places(study, **reading)
    if config.dataset == 'phantom':
        return reader.draw('cohort', reading['lesions'], reading['patients'], size, config.seed), []
    if config.dataset == 'folder':
        return reader.load(data_dir, size, table, **{k: reading[k] for k in PICTURES if k in reading})
    if config.dataset == 'subsample':
        return reader.load(data_dir), []
    if config.dataset == 'medmnist':
        channel = reading.get('channel', 'gray')
        return reader.load(data_dir, size, **_medmnist(reading), channel=channel)
    patches = reader.patches.PatchConfig(image_size=size, **{name: reading[name] for name in PATCHES})
    return reader.load(data_dir, patches, table, reading['classes'], cache=study.path('.volumes'))


def read_from(study, reader, config, reading):
    """Fingerprints of the files that a cohort is read from."""
    if config.dataset == 'phantom':
        return []
    data_dir, table = _places(study, **reading)
    paths = [study.outside(reading[name]) for name in FILES if reading.get(name)]
    if (
        config.dataset == 'medmnist'
    ):  # one file of a folder of sets, or of the package's own; downloaded first
        paths = [reader.find(data_dir, **_medmnist(reading))[0]]
    inputs = [files_hash(path) for path in paths if path.exists()]
    if config.dataset == 'ct':  # other pseudonyms, another cohort
        patients = reader.table_of(data_dir, table)[1].patient
        inputs.append(key_of(list(reader.pseudonyms(patients).values())))
    return inputs


def open_cohort(study):
    """(cohort, splits) that 01_data made in this run; StudyError with the make target when it has not."""
    folder = study.need('cohort', '01_data')
    return Cohort.load(folder), read_rows(folder / 'splits.csv')


def check_tables(study):
    """(table, flagged) of this run's cohort: what `checks.examine` found, and the images it concerns."""
    folder = study.need('cohort', '01_data')
    names = folder / 'audit.csv', folder / 'flagged.csv'
    return tuple(pd.read_csv(name, dtype=str, keep_default_na=False) for name in names)


def part(study, role='train', fold=0):
    """The lesions of one role ('train', 'unused', 'test') of this run's cohort: the only way to a split."""
    return splits.select(*open_cohort(study), fold, role)


def population(study, lesions, seed=0):
    """Stage `population`: phantoms of new patients for tests only; read by 08 and 09."""
    return _phantoms(study, 'population', 'test', lesions, seed)


def calibration(study, per_class, seed=0):
    """Stage `calibration`: so many `dev` phantoms per class, on which the probabilities of a classifier are
    calibrated; nothing is scored on them.
    """
    lesions = [per_class] * len(plan.CLASS_NAMES)
    return _phantoms(study, 'calibration', 'dev', lesions, CALIBRATION_SEED + seed)


def _phantoms(study, name, which, lesions, seed):
    """Stage `name`: phantoms of the population `which`, as large as the images of the cohort."""
    cohort, _ = open_cohort(study)
    size = cohort.images.shape[1]
    params = {'lesions': list(lesions), 'image_size': size, 'seed': seed}

    def build(out):
        plan.draw(which, lesions, image_size=size, seed=seed).save(out)

    return Cohort.load(study.stage(name, build, params, code=plan))
