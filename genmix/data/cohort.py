"""The one type that carries images through the study, and how it is saved."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from genmix import StudyError


def read_rows(path: Path | str, **options) -> pd.DataFrame:
    """A CSV file of lesions or results; names stay what they are, also where they read 007, NA or None.

    The columns id and patient are text, and in the others only an empty field is missing.  options: of pandas
    """
    others = pd.read_csv(path, nrows=0).columns.difference(['id', 'patient'])
    missing = {'keep_default_na': False, 'na_values': dict.fromkeys(others, '')}
    return pd.read_csv(path, dtype={'id': str, 'patient': str}, **missing, **options)


@dataclass(frozen=True)
class Cohort:
    """Lesion images and what is known of them; row i of every member is lesion i.

    images       uint8 (n, H, W), one gray channel, full range 0-255
    labels       int64 (n,), index into `class_names`
    patients     str (n,), the unit of every split
    class_names  the only place that orders the classes
    source       where the images come from, for captions
    ids          str (n,), unique lesion ids; numbered when not given
    extra        one row per lesion: further columns of the manifest (diameter_mm, file, ...)

    Raises StudyError when members disagree in length, a class index is unknown, or an id is used twice.
    """

    images: np.ndarray
    labels: np.ndarray
    patients: np.ndarray
    class_names: Sequence[str]
    source: str = ''
    ids: np.ndarray = None  # type: ignore[assignment]  # never None after __post_init__, and so `extra`
    extra: pd.DataFrame = field(default=None, repr=False)  # type: ignore[assignment]

    def __post_init__(self):
        n = len(self.images)
        ids = [f'L{i:05d}' for i in range(n)] if self.ids is None else self.ids
        extra = pd.DataFrame(index=range(n)) if self.extra is None else self.extra.reset_index(drop=True)
        for name, value in (
            ('labels', np.asarray(self.labels, np.int64)),
            ('patients', np.asarray(self.patients).astype(str)),
            ('class_names', tuple(self.class_names)),
            ('ids', np.asarray(ids).astype(str)),
            ('extra', extra),
        ):
            object.__setattr__(self, name, value)
        self._check()

    def _check(self):
        n = len(self.images)
        if self.images.ndim != 3 or self.images.dtype != np.uint8:
            found = f'{self.images.dtype} {self.images.shape}'
            raise StudyError(f'A cohort holds uint8 images of shape (n, H, W), not {found}.')
        for name in ('labels', 'patients', 'ids', 'extra'):
            if (other := len(getattr(self, name))) != n:
                raise StudyError(f'The cohort has {n} images but {other} {name}: give one each.')
        if n and not (self.labels.min() >= 0 and self.labels.max() < len(self.class_names)):
            raise StudyError(f'A label lies outside the {len(self.class_names)} classes {self.class_names}.')
        if len(np.unique(self.ids)) != n:
            raise StudyError('Two lesions of the cohort share an id: ids must be unique.')

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | np.ndarray | Sequence[int] | int) -> 'Cohort':
        """The lesions that `index` (slice, boolean mask or integers) selects, all members together."""
        rows = np.atleast_1d(np.arange(len(self))[index])
        members = self.images[rows], self.labels[rows], self.patients[rows]
        return Cohort(*members, self.class_names, self.source, self.ids[rows], self.extra.iloc[rows])

    @property
    def counts(self) -> pd.Series:
        """Lesions per class, in the order of `class_names`."""
        return pd.Series(np.bincount(self.labels, minlength=len(self.class_names)), index=self.class_names)

    @property
    def manifest(self) -> pd.DataFrame:
        """One row per lesion: id, patient, label, class, then the extra columns."""
        own = {'id': self.ids, 'patient': self.patients, 'label': self.labels}
        own['class'] = np.array(self.class_names)[self.labels]
        return pd.concat([pd.DataFrame(own), self.extra], axis=1)

    @property
    def fingerprint(self) -> str:
        """16 hex digits over patient and lesion ids, whatever their order: identifies a training split."""
        rows = sorted(f'{p}\t{i}' for p, i in zip(self.patients, self.ids))
        return hashlib.sha256('\n'.join(rows).encode()).hexdigest()[:16]

    @property
    def content_hash(self) -> str:
        """16 hex digits over pixels, labels, ids and class order: the input of a stage, for its cache key."""
        digest = hashlib.sha256(repr((self.images.shape, self.class_names)).encode())
        for part in (self.images, self.labels):
            digest.update(np.ascontiguousarray(part).tobytes())
        return hashlib.sha256(digest.digest() + self.fingerprint.encode()).hexdigest()[:16]

    def save(self, folder: Path | str) -> None:
        """Write images.npy, manifest.csv and cohort.json into `folder`, which exists."""
        folder = Path(folder)
        np.save(folder / 'images.npy', self.images)
        self.manifest.to_csv(folder / 'manifest.csv', index=False)
        about = {'class_names': self.class_names, 'source': self.source}
        (folder / 'cohort.json').write_text(json.dumps(about))

    @classmethod
    def load(cls, folder: Path | str) -> 'Cohort':
        """The cohort that `save` wrote."""
        folder = Path(folder)
        images = np.load(folder / 'images.npy', allow_pickle=False)
        rows = read_rows(folder / 'manifest.csv')
        about = json.loads((folder / 'cohort.json').read_text())
        extra = rows.drop(columns=['id', 'patient', 'label', 'class'])
        labels, patients, ids = (rows[name].to_numpy() for name in ('label', 'patient', 'id'))
        return cls(images, labels, patients, about['class_names'], about['source'], ids, extra)
