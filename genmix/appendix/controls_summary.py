"""What the generators' controls say: the committed tables and images of measured/controls/.

Needs no network.
"""

import json
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from genmix.audit import findings
from genmix.run.files import atomic_write
from genmix.run.provenance import environment
from genmix.run.study import home

STUDY, REAL = 'study', 'real'  # the question of a set that differs in nothing; the name of real lesions
METRICS = {
    m: findings.METRICS[m] for m in ('tstr', 'coverage', 'diversity', 'class_agreement', 'kid', 'copy_ratio')
}
RATIOS = [m for m in METRICS if m in findings.RATIOS]  # those that are read as a ratio to real lesions
COLUMNS = ['set', 'generator', 'base', 'question', 'setting', 'steps', 'label', 'metric', 'score', 'low']
COLUMNS += ['high', 'reference', 'n']
MISSING = 'measured/controls/ is not there yet: `make controls` measures it.'
LEVELS = 64  # gray levels of the kept images: half the bytes of 256, no visible difference


@dataclass(frozen=True)
class Measured:
    """What `controls.run` measured.

    scores     a row per set, class or `all`, and metric, in COLUMNS; low and high are 95 % intervals over
               images, `reference` is the score of as many real lesions
    training   losses and within-class sd of each DCGAN, KID of each snapshot of a diffusion model, by `set`
    images     {name: uint8}: see `controls.examples`
    about      class_names, training_lesions, per_class (images of a set); from files, also date and commit
    """

    scores: pd.DataFrame
    training: pd.DataFrame
    images: dict
    about: dict

    @property
    def class_names(self):
        return self.about['class_names']

    def curves(self, name):
        """The rows of `training` of one set, with the columns that it has."""
        return self.training[self.training.set == name].dropna(axis=1, how='all')

    def sets(self, generator, question=STUDY):
        """{base: name of the set} of a generator and a question that has one setting."""
        rows = self.scores[(self.scores.generator == generator) & (self.scores.question == question)]
        return dict(zip(rows.base, rows.set))

    def film(self):
        """Snapshots of the DCGAN without D4: (uint8 (t, K, n, H, W), names of classes, their steps)."""
        return self.images['film'], self.class_names, self.images['film_steps'].tolist()

    def grid(self, kinds):
        """Images beside each other, class by class: (uint8 (K kinds, n, H, W), name of each row).

        kinds   {title: name of images}
        """
        rows = [(k, title) for k in range(len(self.images[REAL])) for title in kinds]
        images = np.stack([self.images[kinds[title]][k] for k, title in rows])
        return images, [f'{self.class_names[k]}, {title}' for k, title in rows]


def write(found, folder):
    """Write a Measured to scores.csv, training.csv, images.npz and about.json.

    Nothing is written where both tables are there: about.json has the date and commit of their making.
    """
    tables = {name: getattr(found, name).to_csv(index=False) for name in ('scores', 'training')}
    about = {'date': date.today().isoformat(), 'commit': environment()['git'], **found.about}
    kept = [folder / f'{name}.csv' for name in tables]
    if all(path.exists() and path.read_text() == text for path, text in zip(kept, tables.values())):
        return
    for path, text in [*zip(kept, tables.values()), (folder / 'about.json', json.dumps(about) + '\n')]:
        with atomic_write(path) as part:
            part.write_text(text)
    images = {k: coarse_levels(x) if x.dtype == np.uint8 else x for k, x in found.images.items()}
    with atomic_write(folder / 'images.npz') as part, open(part, 'wb') as out:
        np.savez_compressed(out, **images)


def coarse_levels(images):
    """uint8 images in LEVELS gray levels, from 0 to 255."""
    step = 255 / (LEVELS - 1)
    return np.rint(np.rint(images / step) * step).astype(np.uint8)


def read(folder=None):
    """The Measured of measured/controls/, None where it is not there."""
    folder = folder or home() / 'measured' / 'controls'
    if not (folder / 'about.json').exists():
        return None
    text = {'dtype': {'setting': str, 'base': str}, 'keep_default_na': False}
    scores = pd.read_csv(folder / 'scores.csv', **text, na_values={'low': '', 'high': ''})
    with np.load(folder / 'images.npz', allow_pickle=False) as images:
        images = dict(images)
    about = json.loads((folder / 'about.json').read_text())
    return Measured(scores, pd.read_csv(folder / 'training.csv'), images, about)


def source(found):
    """One line: where the numbers of `found` (of `read`) come from, or what writes them."""
    if found is None:
        return MISSING
    a = found.about
    return (
        f'Measured on dev phantoms by `make controls`, {a["date"]}, commit {a["commit"] or "unknown"}: '
        f'{a["training_lesions"]} training lesions, {a["per_class"]} images per class, one training each.'
    )


def select(scores, generator, questions=None):
    """Rows `all` of one generator, of the questions named, with a column `name` for figures and sentences."""
    rows = scores[(scores.generator == generator) & (scores.label == 'all')]
    several, names = rows.base.nunique() > 1, []
    for r in rows.itertuples():
        name = 'as in the study' if r.question == STUDY else f'{r.question} = {r.setting or "none"}'
        name = f'{r.steps:,} steps' if r.question == 'steps' else name
        names.append(f'{r.base}: {name}' if several else name)
    rows = rows.assign(name=names)
    return rows if questions is None else rows[rows.question.isin(questions)]


def summarise(scores, generator, questions=None):
    """Sentences on one generator: which scores of a set differ from those of the set that it varies.

    They differ where the 95 % intervals do not meet.  The intervals are over images: another training of the
    same setting, or another network of TSTR, may differ as well.
    """
    rows = select(scores, generator)
    asked = rows if questions is None else rows[rows.question.isin(questions)]
    lines = []
    for name, own in asked.groupby('name', sort=False):
        base = baseline(rows, own.iloc[0])
        if base is None:
            continue
        pairs = own[own.metric.isin(RATIOS)].merge(base, on='metric', suffixes=('', '_b'))
        told = [_difference(r) for r in pairs.itertuples() if r.low > r.high_b or r.high < r.low_b]
        lines.append(f'{name}: {"; ".join(told) or "no score differs"} (against "{base.name.iloc[0]}")')
    return lines


def baseline(rows, row):
    """The rows of the set that `row` varies, None for the study's own set.

    The study on the profile's base, the first one, is that of the study on another base; prompts without a
    learned token are compared before the noise correction.
    """
    same = rows[rows.base == row.base]
    if row.question == STUDY:
        other = rows[(rows.question == STUDY) & (rows.base == rows.base.iloc[0])]
        return None if row.base == rows.base.iloc[0] else other
    plain = same[same.question == 'nps_correction']
    return plain if row.question == 'prompt' and len(plain) else same[same.question == STUDY]


def _difference(r):
    word = 'higher' if r.low > r.high_b else 'lower'
    ratios = f'{r.score / r.reference:.2f} of real against {r.score_b / r.reference:.2f}'
    return f'{METRICS[r.metric]} {word}, {ratios}'
