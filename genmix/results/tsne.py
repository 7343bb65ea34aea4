"""What a classifier sees: t-SNE pictures of its features (Figure 4 of the paper), and beside them numbers from `genmix.neighbours`.

The numbers are taken in feature space, never in a picture.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from sklearn.manifold import TSNE

from genmix import StudyError
from genmix.audit.fidelity import distances
from genmix.classifier import training as training_module
from genmix.classifier import trials
from genmix.data import build as cohorts
from genmix.data import splits
from genmix.data.cohort import Cohort
from genmix.data.sampling import one_hot
from genmix.mixing import arms, dataset
from genmix.results.neighbours import (
    agreement,
    class_means,
    mixing,
    neighbour_agreement,
    over_patients,
    separation,
)
from genmix.run import study as study_module
from genmix.run.files import atomic_write
from genmix.run.limits import check

ITERATIONS = 500  # of t-SNE: on 500 lesions the loss is within 3 % of where 1000 end, in half the time
REAL_ONLY = (
    'classical',
    'oversample',
    'none',
    'mixup',
    'oversample-mixup',
)  # arms without a generator, best known first
COLUMNS = ['arm', 'metric', 'value', 'low', 'high', 'n', 'label', 'source', 'expected']


def fit_tsne(features, perplexity=30.0, seed=0, init='pca'):
    """Positions float32 (n, 2) of features (n, d): van der Maaten & Hinton 2008; one seed, one picture.

    `perplexity` is the number of neighbours that a point holds on to, lowered to (n - 1) / 3 where there are few.  `init`: 'pca' is
    steadier (Kobak & Berens 2019), 'random' shows how much was the start.
    """
    check(perplexity=perplexity, seed=seed)
    if len(features) < 4 or not np.ptp(features, axis=0).any():  # a network that answers everything alike
        return np.zeros((len(features), 2), np.float32)
    fit = TSNE(
        perplexity=usable(perplexity, len(features)), init=init, random_state=seed, max_iter=ITERATIONS
    )
    return fit.fit_transform(np.float32(features))


def usable(perplexity, n):
    """The perplexity that `n` points allow."""
    return min(perplexity, (n - 1) / 3)


@dataclass(frozen=True)
class TSNEConfig:
    """How lesions are looked at: `shown` images of a synthetic or GenMix set a picture, `neighbours` asked for the numbers."""

    shown: int = 120
    perplexity: float = 30.0
    neighbours: int = 10
    seed: int = 0

    def __post_init__(self):
        check(**vars(self))


@dataclass(frozen=True)
class Sets:
    """The images of a run: held-out and training lesions, then the synthetic and the GenMix set of each generator by name."""

    heldout: Cohort
    training: Cohort
    synthetic: dict
    mixed: dict

    @classmethod
    def load(cls, study, names):
        """Those of the generators `names`.  StudyError for a set that is missing or was learned from another split."""
        training, synthetic = cohorts.part(study), {}
        for name in names:
            synthetic[name] = Cohort.load(study.need(study_module.stage_name('synthetic', name), '07_genmix'))
            splits.check_split(synthetic[name], training)
        return cls(
            cohorts.part(study, 'test'),
            training,
            synthetic,
            {n: dataset.load_set(study, training, s) for n, s in synthetic.items()},
        )

    def pictured(self, names, mixtures, shown, seed=0, training=False):
        """(images, table) of a picture: every held-out lesion, `shown` images of each other set.

        Sets: synthetic ones of `names`, GenMix of `mixtures`, training lesions if asked.  Columns: kind (real, synthetic, mixed), source,
        and the soft label y_<class>...
        """
        rng, k = np.random.default_rng(seed), len(self.heldout.class_names)

        def some(n):
            return np.sort(rng.permutation(n)[:shown])

        parts = [('real', 'held-out', self.heldout, slice(None))]
        parts += [('real', 'training', self.training, some(len(self.training)))] if training else []
        parts += [('synthetic', name, s, some(len(s))) for name, s in self.synthetic.items() if name in names]
        parts = [
            (kind, source, s.images[rows], one_hot(s.labels[rows], k)) for kind, source, s, rows in parts
        ]
        for name in mixtures:
            rows = some(len(self.mixed[name].x))
            parts.append(('mixed', f'genmix-{name}', self.mixed[name].x[rows], self.mixed[name].y[rows]))
        tables = [
            pd.DataFrame(soft, columns=[f'y_{c}' for c in self.heldout.class_names]).assign(
                kind=kind, source=source
            )
            for kind, source, _, soft in parts
        ]
        return np.concatenate([images for _, _, images, _ in parts]), pd.concat(tables, ignore_index=True)


class Space:
    """Features of the kept classifier of one arm, each in standard deviations of the real training lesions: space(images) -> float32 (n, d).

    One scale, whatever is shown; a feature that is the same for all of them is left as it is.
    """

    def __init__(self, study, arm, training):
        self.model, config = trials.load_classifier(study, arm)
        self.size = config['input_size']
        known = self._features(training.images)
        self.mean, sd = known.mean(0), known.std(0)
        self.scale = np.where(sd > 1e-6, sd, 1)

    def _features(self, images):
        return training_module.predict(self.model, images, self.size, of='features')

    def __call__(self, images):
        return (self._features(images) - self.mean) / self.scale


def trained_arms(study):
    """{arm: key} of the arms whose classifier stands as 08 kept it, in the order of 08."""
    predictions, found = study.provenance('predictions').get('params', {}), {}
    for trial, key in predictions.items():
        arm, _, run = trial.rpartition('-s')
        config = study.folder / 'classifiers' / arm / 'config.json'
        if run == '0-f0' and config.exists() and json.loads(config.read_text())['key'] == key:
            found[arm] = key
    return found


def real_only(there):
    """The arm whose network has seen no synthetic image, `classical` if it is `there`; '' when there is none."""
    return next((arm for arm in REAL_ONLY if arm in there), '')


def panels(names, there):
    """The arms to show.  ['all']: those of the paper: real only, mixup, then <g> and genmix-<g> of every generator.

    Arms that are not in `there` are left out with a line; StudyError when none is left.
    """
    if names == ['all']:
        own = dict.fromkeys(arms.generator_of(arm) for arm in there if arms.generator_of(arm))
        wanted = [real_only(there), 'mixup', *(arm for g in own for arm in (g, f'genmix-{g}'))]
        names = [arm for arm in dict.fromkeys(wanted) if arm in there]
    for name in names:
        if name not in there:
            print(f'{name} is left out: 08_classification has not trained it here')
    if not (found := [name for name in names if name in there]):
        raise StudyError(
            f'None of the panels {", ".join(names)} was trained here: choose among {", ".join(there)}.'
        )
    return found


def panel(study, arm, sets, look):
    """Stage embedding/<arm>: one panel of Figure 4.  Returns (points, numbers): `pictured` with tsne_1 and tsne_2, and COLUMNS.

    A network is asked about the synthetic lesions of its own generator, the one of `real_only` about those of all.
    """
    own = arms.generator_of(arm)
    about = [own] if own else list(sets.synthetic) if arm == real_only(trained_arms(study)) else []

    def build(out):
        space = Space(study, arm, sets.training)
        images, table = sets.pictured(
            [own], [own] if arm.startswith('genmix-') else [], look.shown, look.seed
        )
        _placed(space(images), table, look).to_csv(out / 'points.csv', index=False)
        _numbers(space, sets, about, look).assign(arm=arm)[COLUMNS].to_csv(
            out / 'neighbours.csv', index=False
        )

    folder = study.stage(f'embedding/{arm}', build, asdict(look), _inputs(study, arm, about))
    return _read(folder / 'points.csv'), _read(folder / 'neighbours.csv')


def common(study, arm, sets, look):
    """Stage embedding/common: every set in the space of one arm's network, one fit.  Points as in `panel`."""

    def build(out):
        images, table = sets.pictured(sets.synthetic, sets.mixed, look.shown, look.seed, training=True)
        _placed(Space(study, arm, sets.training)(images), table, look).to_csv(out / 'points.csv', index=False)

    return _read(
        study.stage('embedding/common', build, asdict(look), _inputs(study, arm, sets.synthetic))
        / 'points.csv'
    )


def views(study, arm, sets, look):
    """Stage embedding/views: the panel of an arm once more under two other seeds, starts and perplexities: {perplexity, seed: points}."""
    own, others = (
        arms.generator_of(arm),
        [(look.perplexity / 3, look.seed + 1), (look.perplexity * 3, look.seed + 2)],
    )

    def build(out):
        images, table = sets.pictured(
            [own], [own] if arm.startswith('genmix-') else [], look.shown, look.seed
        )
        features = Space(study, arm, sets.training)(images)
        for i, (perplexity, seed) in enumerate(others):
            _placed(features, table, TSNEConfig(perplexity=perplexity, seed=seed), 'random').to_csv(
                out / f'{i}.csv', index=False
            )

    folder = study.stage('embedding/views', build, asdict(look), _inputs(study, arm, [own] if own else []))
    return {other: _read(folder / f'{i}.csv') for i, other in enumerate(others)}


def _read(path):
    """A table as it was written: a class may be called None or NA, only an empty field is missing."""
    return pd.read_csv(path, keep_default_na=False, na_values=[''])


def _placed(features, table, look, init='pca'):
    return table.assign(
        **dict(zip(('tsne_1', 'tsne_2'), fit_tsne(features, look.perplexity, look.seed, init).T))
    )


def _numbers(space, sets, names, look):
    """Rows of COLUMNS (without the arm), label `all` and then each class: agreement of held-out lesions, their mixing rate with the training
    lesions and with the synthetic ones of `names`."""
    features, labels, patients, k = (
        space(sets.heldout.images),
        sets.heldout.labels,
        sets.heldout.patients,
        look.neighbours,
    )
    within = distances(features, features)
    asked = [
        (
            'neighbour_agreement',
            'held-out',
            lambda r: agreement(within[np.ix_(r, r)], labels[r], patients[r], k)[0],
        )
    ]
    for metric, name, other in [
        ('mixing_rate_training', 'training', sets.training),
        *(('mixing_rate', n, sets.synthetic[n]) for n in names),
    ]:
        between = distances(features, space(other.images))

        def rate(r, between=between, kind=other.labels):
            return mixing(within[np.ix_(r, r)], between[r], labels[r], patients[r], kind, k)

        asked.append((metric, name, rate))
    rows, chance = [], agreement(within, labels, patients, k)[1]
    for metric, source, values_of in asked:
        ours = metric == 'neighbour_agreement'
        found = over_patients(values_of, labels, patients, most=1.0 if ours else 2.0, seed=look.seed)
        classes = [label for label in found if label != 'all']
        expected = dict(zip(found, class_means(chance, labels, classes) if ours else np.ones(len(found))))
        for label in ('all', *classes):
            rows.append(
                (
                    metric,
                    *found[label],
                    label if label == 'all' else sets.heldout.class_names[label],
                    source,
                    expected[label],
                )
            )
    return pd.DataFrame(rows, columns=COLUMNS[1:])


def _inputs(study, arm, names):
    """Keys of what a picture stands on: the kept network, and the sets that are shown."""
    stages = [study_module.stage_name(kind, name) for name in names for kind in ('synthetic', 'mixed')]
    return [arm, trained_arms(study)[arm], study.key('cohort'), *map(study.key, stages)]


def save(study, numbers):
    """embedding/neighbours.csv, the numbers of all panels, and the provenance of the folder."""
    with atomic_write(study.path('embedding', 'neighbours.csv')) as part:
        numbers.to_csv(part, index=False)
    study.sign('embedding', {}, [numbers.to_csv()])


def in_picture(at, heldout, look):
    """What numbers would be if they were measured in a picture (or anywhere else): two lines; positions (n, d) of the held-out lesions."""
    share, _ = neighbour_agreement(at, heldout.labels, heldout.patients, look.neighbours)
    return f'neighbours {class_means(share, heldout.labels, np.unique(heldout.labels[np.isfinite(share)]))[-1]:.1%}\nseparation {separation(at, heldout.labels):.2f}'
