"""The GenMix set on disk: made once from the training split and one synthetic set, shown in Figures 3 and 4, trained on."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.data.sampling import one_hot
from genmix.data.splits import check_split
from genmix.mixing import rules
from genmix.run.study import stage_name


@dataclass(frozen=True)
class GenMixSet:
    """GenMix images uint8 (n, H, W), soft labels float (n, K), lambda (n,), and the rows of both parents (n,)."""

    x: np.ndarray
    y: np.ndarray
    lam: np.ndarray
    a: np.ndarray
    b: np.ndarray
    class_names: tuple


def mix_sets(train, synthetic, n, alpha, pairing, larger, seed=0):
    """`n` mixtures of training lesions with images of `synthetic` as MixedSet; each real image is used n / len(train) times."""
    rng, k = np.random.default_rng(seed), len(train.class_names)
    rows = np.concatenate([rng.permutation(len(train)) for _ in range(-(-n // len(train)))])[:n]
    mix = rules.genmix(
        train.images[rows],
        one_hot(train.labels[rows], k),
        synthetic.images,
        one_hot(synthetic.labels, k),
        alpha,
        rng,
        pairing,
        larger,
    )
    return GenMixSet(mix.x, mix.y, mix.lam, rows, mix.b, train.class_names)


def make_set(study, train, synthetic, n, alpha, pairing, larger, seed=0, fold=0):
    """Stage mixed/<g>: `n` mixtures of training lesions with images of `synthetic` (see `drawn`).

    Manifest columns: id, lam, real (id), synthetic (id), y_<class>..., split.  Raises StudyError when the synthetic set was learned from
    another split, and whatever mixing refuses.
    """
    check_split(synthetic, train)
    params = {'n': n, 'alpha': alpha, 'pairing': pairing, 'larger': larger, 'seed': seed}

    def build(out):
        mix = mix_sets(train, synthetic, n, alpha, pairing, larger, seed)
        np.save(out / 'images.npy', mix.x)
        table = pd.DataFrame(
            {
                'id': [f'mixed-{i:05d}' for i in range(n)],
                'lam': mix.lam,
                'real': train.ids[mix.a],
                'synthetic': synthetic.ids[mix.b],
            }
        )
        table[[f'y_{name}' for name in train.class_names]] = mix.y
        table.assign(split=train.fingerprint).to_csv(out / 'manifest.csv', index=False)

    name = stage_name('mixed', synthetic.source, fold)
    study.stage(name, build, params, [train.content_hash, synthetic.content_hash])
    return load_set(study, train, synthetic, fold)


def stage_names(names, folds=1):
    """Stage names of the GenMix sets of some generators over all folds."""
    return [stage_name('mixed', name, fold) for name in names for fold in range(folds)]


def load_set(study, train, synthetic, fold=0):
    """The stored GenMix set of a synthetic set as MixedSet; parents are rows of `train` and `synthetic`.

    Raises StudyError when it was made from other lesions or another synthetic set than these.
    """
    name = stage_name('mixed', synthetic.source, fold)
    at = study.need(name, '07_genmix')
    if study.provenance(name)['inputs'] != [train.content_hash, synthetic.content_hash]:
        raise StudyError(
            f'runs/{study.run}/{name} was made from other parents than this run has now: run `make 07_genmix RUN={study.run}`.'
        )
    table = pd.read_csv(
        at / 'manifest.csv', dtype={'real': str, 'synthetic': str}, float_precision='round_trip'
    )

    def row(ids, wanted):
        return pd.Series(np.arange(len(ids)), index=ids)[wanted].to_numpy()

    return GenMixSet(
        np.load(at / 'images.npy', allow_pickle=False),
        table[[f'y_{n}' for n in train.class_names]].to_numpy(np.float32),
        table.lam.to_numpy(),
        row(train.ids, table.real),
        row(synthetic.ids, table.synthetic),
        train.class_names,
    )
