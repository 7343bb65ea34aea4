"""The data pack of the lesson, measured/lesson/, from a finished run on phantoms.

python -m tools.lesson_pack --run cpu      writes pack.npz and about.json there, and their checksums
"""

import json
import sys
from dataclasses import asdict

import numpy as np

from genmix import StudyError
from genmix.appendix import controls_summary
from genmix.audit.illustrator import best_generator
from genmix.data import build
from genmix.data.cohort import Cohort, read_rows
from genmix.data.phantom import plan
from genmix.data.sampling import first_rows
from genmix.generators import PAPER
from genmix.generators.gan.training import sample_steps
from genmix.plots.style import displayed, generator_style, in_order
from genmix.results import measured
from genmix.run.files import atomic_write
from genmix.run.log import log
from genmix.run.study import Study, home
from tools import checksums, cli

LIMIT = 5_000_000  # bytes of the whole pack: it is cloned by everybody
# Images per class of the best set, of the others, of the tests; noises of the film.
BEST, OTHERS, TESTS, FILM = 80, 24, 100, 4
TEST_SEED = 200_000  # of `dev` phantoms that nothing else draws
FILM_PROFILE = 'cpu'  # of params/: its DCGAN
# The contrast of mixing and those of each generator, and what a forest needs of them.
MIXING = ['mixing at matched dose and mass', *(f'mixing, {name}' for name in PAPER)]
COLUMNS = ['contrast', 'gate', 'generator', 'a', 'b', 'metric', 'rule', 'mean', 'low', 'high', 'n', 'cohorts']
COLUMNS += ['verdict']


def film(study, train):
    """Snapshots of a DCGAN without D4 augmentation, uint8 (t, K, FILM, H, W), and their steps int (t,).

    Those in measured/controls/ where it is; else of the same training, a stage of this run.
    """
    if found := controls_summary.read():
        return found.images['film'][:, :, :FILM], found.images['film_steps']
    from genmix.appendix.controls_plan import DCGAN, FILMED, Control

    config = Control(generator='dcgan', training={FILMED: False}).config(FILM_PROFILE)
    folder = study.stage(
        'lesson/film',
        lambda out: DCGAN.fit(train, out, config),
        asdict(config),
        [train.content_hash],
        code=DCGAN,
    )
    return np.load(folder / 'samples.npy')[:, :, :FILM], sample_steps(config.steps).astype(int)


def synthetic(study):
    """({generator: Cohort}, the one that the lesson mixes with) of a run: fewer images of all but that one.

    StudyError when the run has none.
    """
    folder = study.folder / 'synthetic'
    names = [name for name in PAPER if (folder / name / 'images.npy').exists()]
    if not names:
        raise StudyError(f'runs/{study.run} has no synthetic set: run `make all RUN={study.run}` first.')
    audited = (study.folder / 'audit' / 'generator_card.csv').exists()
    best = best_generator(study, names) if audited else names[0]
    sets = {name: Cohort.load(folder / name) for name in in_order(names)}
    kept = {name: first_rows(s, BEST if name == best else OTHERS) for name, s in sets.items()}
    return {name: sets[name][rows] for name, rows in kept.items()}, best


def contrasts(study, table=None):
    """What mixing adds per generator, and on average: rows of a contrasts.csv, primary outcome, new patients.

    table   path of the file; None: the cohorts of the long run where there are some, else this run
    """
    path = table or study.folder / 'results' / 'contrasts.csv'
    if table is None and len(cohorts := measured.cohorts()) > 1:
        rows = cohorts.contrasts(measured.tuning())[0]
    elif path.exists():
        rows = read_rows(path)
    else:
        raise StudyError(f'{path} is not there: run `make all RUN={study.run}`, or name one by --contrasts.')
    rows = rows[rows.contrast.isin(MIXING) & (rows.metric == 'balanced_accuracy') & (rows.rule == 'prior')]
    if 'population' in set(rows.test_set):
        rows = rows[rows.test_set == 'population']
    rows = rows.assign(contrast=rows.contrast.map(displayed))
    rows = rows.round({'mean': 5, 'low': 5, 'high': 5}).reindex(columns=COLUMNS)
    return rows.astype(object).fillna('').to_dict('records')


def collect(study, table=None):
    """(arrays, about) of the pack; StudyError for a run that lacks what it needs."""
    train = build.part(study, 'train')
    if tuple(train.class_names) != plan.CLASS_NAMES:
        raise StudyError(
            f'runs/{study.run} is not on phantoms: the pack is published, so it holds no patients.'
        )
    test = plan.draw('dev', (TESTS,) * 3, image_size=train.images.shape[1], seed=TEST_SEED)
    frames, steps = film(study, train)
    sets, best = synthetic(study)
    arrays = {'images': train.images, 'labels': train.labels, 'patients': train.patients}
    arrays |= {'test_images': test.images, 'test_labels': test.labels, 'film': frames, 'film_steps': steps}
    for name, own in sets.items():
        arrays |= {f'{name}_images': own.images, f'{name}_labels': own.labels}
    about = {
        'class_names': list(train.class_names),
        'generators': {name: generator_style(name).name for name in sets},
        'best': best,
        'contrasts': contrasts(study, table),
        'commit': study.provenance('cohort').get('git', ''),
    }
    return arrays, about


def write(arrays, about, folder):
    """Write pack.npz and about.json; the same bytes for the same content.  StudyError above LIMIT."""
    with atomic_write(folder / 'pack.npz') as part:
        with open(part, 'wb') as file:
            np.savez_compressed(file, **arrays)
        if part.stat().st_size > LIMIT:
            raise StudyError(f'The pack would take {part.stat().st_size / 1e6:.1f} MB: lower BEST or OTHERS.')
    with atomic_write(folder / 'about.json') as part:
        part.write_text(json.dumps(about, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')


@cli.command
def main(argv):
    parser = cli.parser('tools.lesson_pack', __doc__, run=True)
    parser.add_argument(
        '--contrasts', help='a contrasts.csv to take the forest from, instead of the long run'
    )
    args = parser.parse_args(argv)
    study, folder = Study(args.run, home()), measured.measured() / 'lesson'
    write(*collect(study, args.contrasts and study.outside(args.contrasts)), folder)
    checksums.note(measured.measured(), 'lesson/pack.npz', 'lesson/about.json')
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    log.info(f'measured/lesson/ holds the pack of runs/{args.run}, {size:.1f} MB')


if __name__ == '__main__':
    sys.exit(main())
