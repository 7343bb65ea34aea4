"""t-SNE of the classifier's penultimate features (Figure 4 of the paper), with numbers from `neighbours`.

The numbers are taken in feature space, never in a picture.
"""

from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.audit.fidelity import distances
from genmix.mixing.arms import DOSES, Arm
from genmix.results.feature_space import FeatureSpace, Sets, classifier_key, trained_arms
from genmix.results.neighbours import (
    agreement,
    class_means,
    mixing,
    neighbour_agreement,
    over_patients,
    separation,
)
from genmix.run.files import atomic_write
from genmix.run.limits import bounded, check_fields
from genmix.run.log import log
from genmix.run.study import Study, stage_name

ITERATIONS = 500  # of t-SNE: on 500 lesions the loss is within 3 % of where 1000 end, in half the time
# Arms without a generator, the first that is trained is shown.
REAL_ONLY = ('classical', 'oversample', 'none', 'mixup', 'oversample-mixup')
COLUMNS = ['arm', 'metric', 'value', 'low', 'high', 'n', 'label', 'source', 'expected']


@dataclass(frozen=True, kw_only=True)
class TSNEConfig:
    """shown, images of a synthetic or GenMix set per picture; neighbours, the k of the numbers."""

    shown: int = bounded(above=0)
    perplexity: float = bounded(above=0)
    neighbours: int = bounded(above=0)
    seed: int = bounded(at_least=0)

    def __post_init__(self):
        check_fields(self)


def fit_tsne(features, perplexity=30.0, seed=0, init='pca') -> np.ndarray:
    """Positions float32 (n, 2) of features (n, d): van der Maaten and Hinton 2008, JMLR 9:2579.

    perplexity   about how many neighbours a point keeps, lowered to (n - 1) / 3 where there are few points
    init         `pca` is steadier (Kobak and Berens 2019, Nat. Commun. 10:5416), `random` depends on the seed
    """
    from sklearn.manifold import TSNE  # slow to import

    if len(features) < 4 or not np.ptp(features, axis=0).any():  # a network whose features are all alike
        return np.zeros((len(features), 2), np.float32)
    perplexity = usable(perplexity, len(features))
    fit = TSNE(perplexity=perplexity, init=init, random_state=seed, max_iter=ITERATIONS)
    return fit.fit_transform(np.float32(features))


def usable(perplexity, n):
    """The perplexity that `n` points allow."""
    return min(perplexity, (n - 1) / 3)


def real_only(trained) -> str:
    """Name of a trained arm without synthetic images, `classical` where it is; '' where there is none."""
    return next((name for name in REAL_ONLY if name in trained), '')


def panels(names, trained: dict[str, Arm]) -> dict[str, Arm]:
    """The arms to show, by name.

    names   ['all']: as in the paper, real only, mixup, then each generator unmixed and with GenMix, at one
            dose

    Arms that are not `trained` are left out with a line; StudyError when none is left.
    """
    if names == ['all']:
        generators = dict.fromkeys(arm.generator for arm in trained.values() if arm.generator)
        low = [a for a in trained.values() if a.dose == DOSES[0] and a.balance == 'natural' and not a.stored]
        by_kind = {(arm.generator, arm.kind): arm.name for arm in low}
        pairs = [by_kind.get((g, kind)) for g in generators for kind in ('synthetic', 'genmix')]
        wanted = [real_only(trained), 'mixup', *pairs]
        names = [name for name in dict.fromkeys(wanted) if name in trained]
    for name in names:
        if name not in trained:
            log.info(f'{name} is left out: 08_classification has not trained it here')
    if not (found := {name: trained[name] for name in names if name in trained}):
        raise StudyError(
            f'None of the panels {", ".join(names)} was trained here: choose among {", ".join(trained)}.'
        )
    return found


def panel(study: Study, arm: Arm, sets: Sets, config: TSNEConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Stage embedding/<arm>, one panel of Figure 4: (points, numbers).

    points    the table of `Sets.pictured` with tsne_1 and tsne_2      numbers   COLUMNS

    Numbers compare with the synthetic lesions of the arm's own generator; for the arm of `real_only`, of all.
    """
    generators = [arm.generator] if arm.generator else []
    if arm.name == real_only(trained_arms(study)):
        generators = list(sets.synthetic)

    def build(out):
        space = FeatureSpace(study, arm, sets.training)
        images, table = _pictured(arm, sets, config)
        _placed(space(images), table, config).to_csv(out / 'points.csv', index=False)
        numbers = _numbers(space, sets, generators, config).assign(arm=arm.name)
        numbers[COLUMNS].to_csv(out / 'neighbours.csv', index=False)

    folder = study.stage(f'embedding/{arm.slug}', build, asdict(config), _inputs(study, arm, generators))
    return _read(folder / 'points.csv'), _read(folder / 'neighbours.csv')


def common(study: Study, arm: Arm, sets: Sets, config: TSNEConfig) -> pd.DataFrame:
    """Stage embedding/common: every set in the features of one network, one fit.  Points as in `panel`."""

    def build(out):
        space = FeatureSpace(study, arm, sets.training)
        images, table = sets.pictured(sets.synthetic, sets.mixed, config.shown, config.seed, training=True)
        _placed(space(images), table, config).to_csv(out / 'points.csv', index=False)

    folder = study.stage('embedding/common', build, asdict(config), _inputs(study, arm, sets.synthetic))
    return _read(folder / 'points.csv')


def views(study: Study, arm: Arm, sets: Sets, config: TSNEConfig) -> dict[tuple, pd.DataFrame]:
    """Stage embedding/views: a panel under two other perplexities, seeds and random starts.

    {(perplexity, seed): points as in `panel`}
    """
    p, seed = config.perplexity, config.seed
    others = [
        replace(config, perplexity=p / 3, seed=seed + 1),
        replace(config, perplexity=p * 3, seed=seed + 2),
    ]

    def build(out):
        images, table = _pictured(arm, sets, config)
        features = FeatureSpace(study, arm, sets.training)(images)
        for i, other in enumerate(others):
            _placed(features, table, other, 'random').to_csv(out / f'{i}.csv', index=False)

    generators = [arm.generator] if arm.generator else []
    folder = study.stage('embedding/views', build, asdict(config), _inputs(study, arm, generators))
    return {(other.perplexity, other.seed): _read(folder / f'{i}.csv') for i, other in enumerate(others)}


def _pictured(arm, sets, config):
    mixtures = [arm.generator] if arm.kind == 'genmix' else []
    return sets.pictured([arm.generator], mixtures, config.shown, config.seed)


def _read(path):
    """A table as it was written: a class may be called None or NA, only an empty field is missing."""
    return pd.read_csv(path, keep_default_na=False, na_values=[''])


def _placed(features, table, config, init='pca'):
    x, y = fit_tsne(features, config.perplexity, config.seed, init).T
    return table.assign(tsne_1=x, tsne_2=y)


def _numbers(space, sets, generators, config):
    """COLUMNS without arm: agreement of held-out lesions, their mixing with training and synthetic ones."""
    held, k = sets.heldout, config.neighbours
    features, labels, patients = space(held.images), held.labels, held.patients
    within = distances(features, features)

    def agreement_of(rows):
        return agreement(within[np.ix_(rows, rows)], labels[rows], patients[rows], k)[0]

    def rate_with(other):
        between = distances(features, space(other.images))

        def rate(rows):
            own = within[np.ix_(rows, rows)], between[rows], labels[rows], patients[rows]
            return mixing(*own, other.labels, k)

        return rate

    chance = agreement(within, labels, patients, k)[1]
    others = [('mixing_rate_training', 'training', sets.training)]
    others += [('mixing_rate', name, sets.synthetic[name]) for name in generators]
    agreements = _rows(agreement_of, held, 1.0, config.seed, chance)
    tables = [agreements.assign(metric='neighbour_agreement', source='held-out')]
    for metric, source, other in others:
        rates = _rows(rate_with(other), held, 2.0, config.seed)
        tables.append(rates.assign(metric=metric, source=source))
    return pd.concat(tables, ignore_index=True)


def _rows(values_of, held, max_value, seed, chance=None):
    """value, low, high, n, label and expected: of `all` and then of each class of the held-out lesions.

    chance   (n,), its class means are what is expected; None where 1 is
    """
    found = over_patients(values_of, held.labels, held.patients, max_value, seed=seed)
    classes = [label for label in found if label != 'all']
    means = np.ones(len(found)) if chance is None else class_means(chance, held.labels, classes)
    expected = dict(zip(found, means))
    rows = [
        (*found[label], label if label == 'all' else held.class_names[label], expected[label])
        for label in ('all', *classes)
    ]
    return pd.DataFrame(rows, columns=['value', 'low', 'high', 'n', 'label', 'expected'])


def _inputs(study, arm, generators):
    """Keys of what a picture depends on: the saved classifier, and the sets that are shown."""
    stages = [stage_name(kind, name) for name in generators for kind in ('synthetic', 'mixed')]
    return [arm.name, classifier_key(study, arm), study.key('cohort'), *map(study.key, stages)]


def save(study: Study, numbers: pd.DataFrame) -> None:
    """embedding/neighbours.csv, the numbers of all panels, and the provenance of the folder."""
    with atomic_write(study.path('embedding', 'neighbours.csv')) as part:
        numbers.to_csv(part, index=False)
    study.sign('embedding', {}, [numbers.to_csv()])


def in_picture(positions, heldout, config: TSNEConfig) -> str:
    """What the numbers would be if they were measured in a picture (or any other space): two lines.

    positions   (n, d) of the held-out lesions
    """
    share, _ = neighbour_agreement(positions, heldout.labels, heldout.patients, config.neighbours)
    classes = np.unique(heldout.labels[np.isfinite(share)])
    mean = class_means(share, heldout.labels, classes)[-1]
    return f'neighbours {mean:.1%}\nseparation {separation(positions, heldout.labels):.2f}'
