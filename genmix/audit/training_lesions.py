"""The training lesions of a generator, ready to be searched for in other images: copies and blends of two."""

import numpy as np
import pandas as pd

from genmix.audit import copies
from genmix.audit.blends import Blends
from genmix.audit.features import pixel_features
from genmix.audit.registration import POSE, Registration, placed
from genmix.data.cohort import Cohort
from genmix.data.images import symmetries
from genmix.data.sampling import first_rows

SEARCHED = 300  # images per class: 1.3 s of one core per class; the share of copies is then known to 1 or 2 %
PARENTS = ('first', 'first_view', 'second', 'second_view')


class TrainingLesions:
    """The lesions that a generator learned from.

    cohort   at least two of them
    """

    def __init__(self, cohort: Cohort):
        self.cohort = cohort
        self.registration, self.blends = Registration(cohort.images), Blends(cohort.images)
        self.spacing = self.registration.match(cohort.images, own=True)
        self.cell = copies.cells_of(pixel_features(cohort.images))

    def search(self, images: np.ndarray) -> pd.DataFrame:
        """What training lesions each image shows: a row per image.

        lesion, distance, relative, POSE   the nearest lesion and how it lies: see `Registration.match`
        authentic                          see `copies.are_authentic`
        cell                               of that lesion, for C_T
        blend_distance, blend_relative     of the nearest blend of two: see `Blends.match`
        PARENTS                            both lesions of that blend and their symmetries, 0 to 7
        """
        found, blend = self.registration.match(images), self.blends.match(images)
        parents = np.concatenate([blend.first, blend.second], 1)
        return pd.DataFrame(
            {'lesion': found.index, 'distance': found.distance, 'relative': found.relative}
            | dict(zip(POSE, found.pose.T))
            | {'authentic': copies.are_authentic(found, self.spacing), 'cell': self.cell[found.index]}
            | {'blend_distance': blend.distance, 'blend_relative': blend.relative}
            | dict(zip(PARENTS, parents.T))
        )

    def search_set(self, cohort: Cohort, per_class: int = SEARCHED) -> pd.DataFrame:
        """`search` of the first `per_class` images of each class.

        More columns: their `label`, and `image`, their row in `cohort`.
        """
        rows = first_rows(cohort, per_class)
        found = self.search(cohort.images[rows])
        return found.assign(label=cohort.labels[rows], image=rows)


def cached_search(study, name, cohort, training, per_class=SEARCHED):
    """`training.search_set` of `cohort`, in stage audit/copies/<name>."""

    def build(out):
        training.search_set(cohort, per_class).to_csv(out / 'copies.csv', index=False)

    inputs = [cohort.content_hash, training.cohort.content_hash]
    folder = study.stage(f'audit/copies/{name}', build, {'per_class': per_class}, inputs)
    return pd.read_csv(folder / 'copies.csv')


def most_alike(found, n=8, by='relative'):
    """The `n` rows of `search_set` that are most like a copy: the nearest of each class in turn.

    Each training lesion is shown once: a generator that repeats one would fill every place with it.
    """
    found = found.sort_values(by).drop_duplicates('lesion')
    turn = found.groupby('label').cumcount()
    chosen = found.assign(turn=turn).sort_values(['turn', by]).head(n)
    return chosen.drop(columns='turn').sort_values(['label', by], ignore_index=True)


def nearest_pairs(train, synthetic, n=8, per_class=SEARCHED):
    """The images of a synthetic set most like a copy: (table, images uint8 (2, n, H, W)).

    train, synthetic   Cohorts; the first `per_class` images of each class are searched
    table              image (row of `synthetic`), lesion (row of `train`), distance, relative, POSE; chosen
                       as in `most_alike`
    images             synthetic ones, and below each its training lesion, placed as it was matched
    """
    rows = first_rows(synthetic, per_class)
    found = Registration(train.images).match(synthetic.images[rows])
    columns = {'image': rows, 'label': synthetic.labels[rows], 'lesion': found.index}
    columns |= {'distance': found.distance, 'relative': found.relative} | dict(zip(POSE, found.pose.T))
    pairs = most_alike(pd.DataFrame(columns), n)
    return pairs, np.stack([synthetic.images[pairs.image], copied(train, pairs)])


def copied(train, found):
    """Training lesions of rows of `search`, placed as they were matched: uint8 (n, H, W)."""
    return placed(train.images[found.lesion], found[list(POSE)].to_numpy())


def blended(train, found):
    """Both parents of the blends of rows of `search`, as they were matched: uint8 (2, n, H, W)."""
    views = symmetries(train.images)
    return np.stack([views[found[f'{p}_view'], found[p]] for p in ('first', 'second')])
