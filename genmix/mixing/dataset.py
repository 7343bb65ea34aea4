"""The GenMix set on disk: made once from the training split and one synthetic set.

Figures 3 and 4 show it, and the arms with `stored` are trained on it.  Half of a mixture is synthetic on
average, so an arm of dose d draws 2 d of each batch from it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.data.cohort import Cohort
from genmix.data.sampling import one_hot
from genmix.data.splits import check_split
from genmix.mixing.rules import GenMix, apply
from genmix.run.study import Study, stage_name


@dataclass(frozen=True)
class GenMixSet:
    """GenMix images uint8 (n, H, W), soft labels (n, K), lambda (n,), rows of both parents (n,)."""

    x: np.ndarray
    y: np.ndarray
    lam: np.ndarray
    a: np.ndarray
    b: np.ndarray
    class_names: Sequence[str]


def mix_sets(train: Cohort, synthetic: Cohort, n: int, rule: GenMix, seed=0) -> GenMixSet:
    """`n` mixtures of training lesions with `synthetic` images; each lesion comes n / len(train) times."""
    rng, k = np.random.default_rng(seed), len(train.class_names)
    rounds = -(-n // len(train))
    rows = np.concatenate([rng.permutation(len(train)) for _ in range(rounds)])[:n]
    pairs = rule.pairs(train.labels[rows], synthetic.labels, rng, train.images.shape[1:])
    a, b = rows[pairs.a], pairs.b
    x, y = apply(
        pairs,
        (train.images[a], synthetic.images[b]),
        (one_hot(train.labels[a], k), one_hot(synthetic.labels[b], k)),
    )
    return GenMixSet(x, y, pairs.lam, a, b, train.class_names)


def make_set(
    study: Study, train: Cohort, synthetic: Cohort, n: int, rule: GenMix, seed=0, fold=0
) -> GenMixSet:
    """Stage mixed/<g>: `n` mixtures of training lesions with images of `synthetic` (see `mix_sets`).

    Manifest columns: id, lam, real (id), synthetic (id), y_<class>..., split.  Raises StudyError when the
    synthetic set was learned from another split, and whatever the rule refuses.
    """
    check_split(synthetic, train)
    params = {'n': n, **asdict(rule), 'seed': seed}

    def build(out):
        mix = mix_sets(train, synthetic, n, rule, seed)
        np.save(out / 'images.npy', mix.x)
        ids = [f'mixed-{i:05d}' for i in range(n)]
        parents = {'real': train.ids[mix.a], 'synthetic': synthetic.ids[mix.b]}
        table = pd.DataFrame({'id': ids, 'lam': mix.lam, **parents})
        table[[f'y_{name}' for name in train.class_names]] = mix.y
        table.assign(split=train.fingerprint).to_csv(out / 'manifest.csv', index=False)

    name = stage_name('mixed', synthetic.source, fold)
    study.stage(name, build, params, [train.content_hash, synthetic.content_hash])
    return load_set(study, train, synthetic, fold)


def stage_names(names, folds=1):
    """Stage names of the GenMix sets of some generators over all folds."""
    return [stage_name('mixed', name, fold) for name in names for fold in range(folds)]


def load_set(study: Study, train: Cohort, synthetic: Cohort, fold=0) -> GenMixSet:
    """The stored GenMix set of a synthetic set; parents are rows of `train` and `synthetic`.

    Raises StudyError when it was made from other lesions or another synthetic set than these.
    """
    name = stage_name('mixed', synthetic.source, fold)
    at = study.need(name, '07_genmix')
    if study.provenance(name)['inputs'] != [train.content_hash, synthetic.content_hash]:
        raise StudyError(
            f'runs/{study.run}/{name} was made from other parents than this run has now: run `make 07_genmix '
            f'RUN={study.run}`.'
        )
    text: Any = {'real': str, 'synthetic': str}
    table = pd.read_csv(at / 'manifest.csv', dtype=text, keep_default_na=False, float_precision='round_trip')
    a, b = (
        pd.Series(np.arange(len(c)), index=c.ids)[wanted].to_numpy()
        for c, wanted in ((train, table.real), (synthetic, table.synthetic))
    )
    soft = table[[f'y_{n}' for n in train.class_names]].to_numpy(np.float32)
    images = np.load(at / 'images.npy', allow_pickle=False)
    return GenMixSet(images, soft, table.lam.to_numpy(), a, b, train.class_names)
