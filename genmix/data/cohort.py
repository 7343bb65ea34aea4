"""The one type that carries images through the study, and how it is kept on disk."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from genmix import StudyError


@dataclass(frozen=True)
class Cohort:
    """Lesion images and what is known of them; row i of every member is lesion i.

    images       uint8 (n, H, W), one gray channel, full range 0-255
    labels       int64 (n,), index into `class_names`
    patients     str (n,), the unit of every split
    class_names  the only place that orders the classes
    source       where the images come from, for captions
    ids          str (n,), unique lesion ids; numbered when not given
    extra        one row a lesion: further columns of the manifest (diameter_mm, file, ...)

    Raises StudyError when members disagree, a class index is unknown, or an id is doubled.
    """

    images: np.ndarray
    labels: np.ndarray
    patients: np.ndarray
    class_names: tuple
    source: str = ''
    ids: np.ndarray = None
    extra: pd.DataFrame = field(default=None, repr=False)

    def __post_init__(self):
        def put(name, value):
            return object.__setattr__(self, name, value)

        n = len(self.images)
        put('labels', np.asarray(self.labels, np.int64))
        put('patients', np.asarray(self.patients).astype(str))
        put('class_names', tuple(self.class_names))
        put(
            'ids',
            np.array([f'L{i:05d}' for i in range(n)])
            if self.ids is None
            else np.asarray(self.ids).astype(str),
        )
        put(
            'extra', pd.DataFrame(index=range(n)) if self.extra is None else self.extra.reset_index(drop=True)
        )
        if self.images.ndim != 3 or self.images.dtype != np.uint8:
            raise StudyError(
                f'A cohort holds uint8 images of shape (n, H, W), not {self.images.dtype} {self.images.shape}.'
            )
        for name in ('labels', 'patients', 'ids', 'extra'):
            if len(getattr(self, name)) != n:
                raise StudyError(
                    f'The cohort has {n} images but {len(getattr(self, name))} {name}: give one each.'
                )
        if n and not (self.labels.min() >= 0 and self.labels.max() < len(self.class_names)):
            raise StudyError(f'A label lies outside the {len(self.class_names)} classes {self.class_names}.')
        if len(np.unique(self.ids)) != n:
            raise StudyError('Two lesions of the cohort share an id: ids must be unique.')

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        """The lesions that `index` (slice, boolean mask or integers) selects, all members together."""
        rows = np.arange(len(self))[index]
        rows = np.atleast_1d(rows)
        return Cohort(
            self.images[rows],
            self.labels[rows],
            self.patients[rows],
            self.class_names,
            self.source,
            self.ids[rows],
            self.extra.iloc[rows],
        )

    @property
    def counts(self):
        """Lesions per class, in the order of `class_names`: a pandas Series."""
        return pd.Series(np.bincount(self.labels, minlength=len(self.class_names)), index=self.class_names)

    @property
    def manifest(self):
        """One row a lesion: id, patient, label, class, then the extra columns."""
        names = np.array(self.class_names)
        own = pd.DataFrame(
            {'id': self.ids, 'patient': self.patients, 'label': self.labels, 'class': names[self.labels]}
        )
        return pd.concat([own, self.extra], axis=1)

    @property
    def fingerprint(self):
        """16 hex digits over patient and lesion ids, whatever their order: who was learned from."""
        rows = sorted(f'{p}\t{i}' for p, i in zip(self.patients, self.ids))
        return hashlib.sha256('\n'.join(rows).encode()).hexdigest()[:16]

    @property
    def content_hash(self):
        """16 hex digits over pixels, labels, ids and class order: what the stage cache asks about its input."""
        digest = hashlib.sha256(repr((self.images.shape, self.class_names)).encode())
        for part in (self.images, self.labels):
            digest.update(np.ascontiguousarray(part).tobytes())
        return hashlib.sha256(digest.digest() + self.fingerprint.encode()).hexdigest()[:16]

    def save(self, folder):
        """Write images.npy, manifest.csv and cohort.json into `folder`, which exists."""
        folder = Path(folder)
        np.save(folder / 'images.npy', self.images)
        self.manifest.to_csv(folder / 'manifest.csv', index=False)
        (folder / 'cohort.json').write_text(
            json.dumps({'class_names': self.class_names, 'source': self.source})
        )

    @classmethod
    def load(cls, folder):
        """The cohort that `save` wrote."""
        folder = Path(folder)
        images = np.load(folder / 'images.npy', allow_pickle=False)
        rows = pd.read_csv(folder / 'manifest.csv', dtype={'id': str, 'patient': str})
        about = json.loads((folder / 'cohort.json').read_text())
        return cls(
            images,
            rows.label,
            rows.patient,
            about['class_names'],
            about['source'],
            rows.id,
            rows.drop(columns=['id', 'patient', 'label', 'class']),
        )
