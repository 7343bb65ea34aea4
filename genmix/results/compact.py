"""One finished cohort as a small file, measured/study/cohort-<seed>.npz: every number can be redone from it.

It holds, of the test population: labels and patients, and of each trial (arm, seed, fold) the class
probabilities in 8 bits, the label mass of its batches, bias and temperature fitted on `dev`; beside them
JSON.  No pickle: arrays of numbers alone, and the JSON as bytes.  Same content, same bytes.

`npz` member   type and shape            content
about          uint8 (bytes,)            JSON in UTF-8: `ABOUT`, and what else the writer adds
labels         uint8 (n,)                class of each lesion, index into class_names
patients       uint16 (n,)               number of its patient
codes          uint8 (trials, n, K - 1)  log(p_k / p_0) of class k = 1 ... K - 1, companded: see `decode`
scales         float32 (trials,)         the largest |log(p_k / p_0)| of each trial
mass           float32 (trials, K)       label mass of each class in the batches
temperature    float32 (trials,)         1 and 0 where there was no `dev` to fit them on
bias           float32 (trials, K)
"""

import io
import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from genmix import StudyError
from genmix.results.calibration import ROUNDED, cross_fit, rescale
from genmix.results.metrics import class_names, decide, prevalence_weights, probabilities
from genmix.run.files import atomic_write

FORMAT = 1
TEST_SET = 'population'
# What `about` always has: version of the format, seed of the cohort, names of the classes, lesions per class
# of the whole cohort, [arm, seed, fold] of each trial, {name: fields} of the arms.
ABOUT = ('format', 'cohort', 'class_names', 'class_counts', 'trials', 'arms')
HALF = 127  # codes 0 ... 254 stand for -1 ... 1
KNEE = 2.0  # below it steps are about equal, beyond they grow: what is nearly sure needs fewer digits


@dataclass(frozen=True)
class Compact:
    """One cohort in memory; members as in the table above, `about` as a dict."""

    about: dict
    labels: np.ndarray
    patients: np.ndarray
    codes: np.ndarray
    scales: np.ndarray
    mass: np.ndarray
    temperature: np.ndarray
    bias: np.ndarray

    @property
    def trials(self) -> list[tuple]:
        """(arm, seed, fold) of each trial."""
        return [tuple(trial) for trial in self.about['trials']]

    def probabilities(self, trial: int) -> np.ndarray:
        """Class probabilities of a trial as trained, float (n, K)."""
        return decode(self.codes[trial], self.scales[trial])

    @property
    def weights(self) -> np.ndarray:
        """Weight of each lesion, float (n,), by which classes have the prevalence of the cohort."""
        return prevalence_weights(self.labels.astype(int), self.about['class_counts'])

    def scaled(self, trial: int) -> np.ndarray:
        """The same after bias and temperature, which are cross-fitted where there was no `dev`."""
        p = self.probabilities(trial)
        if np.isfinite(self.temperature[trial]):
            return rescale(p, self.temperature[trial], self.bias[trial])
        return cross_fit(self.labels.astype(int), p, self.weights, self.patients)[0]

    def predictions(self) -> pd.DataFrame:
        """The table that was packed, but for rounding and ids: as of `read_predictions`, and q_<class>."""
        return pd.concat([self._table(i) for i in range(len(self.trials))], ignore_index=True)

    def _table(self, i):
        names, p = self.about['class_names'], self.probabilities(i)
        table = {'id': pd.Series(range(len(p))).map('L{:05d}'.format)}
        table['patient'] = pd.Series(self.patients).map('P{:05d}'.format)
        table['label'] = self.labels.astype(int)
        for mark, values in (('p', p), ('q', self.scaled(i))):
            table |= {f'{mark}_{n}': values[:, k] for k, n in enumerate(names)}
        arm, seed, fold = self.trials[i]
        about = {'test_set': TEST_SET, 'arm': arm, 'seed': seed, 'fold': fold}
        about |= {f'mass_{n}': float(m) for n, m in zip(names, self.mass[i])}
        return pd.DataFrame(table).assign(**about, weight=self.weights)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        arrays['about'] = np.frombuffer(json.dumps(self.about).encode(), np.uint8)
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        with atomic_write(path) as part:
            part.write_bytes(content.getvalue())

    @classmethod
    def load(cls, path: Path) -> 'Compact':
        """The cohort that `save` wrote; StudyError for a file that is none."""
        try:
            with np.load(path, allow_pickle=False) as found:
                arrays = {f.name: found[f.name] for f in fields(cls)}
            arrays['about'] = json.loads(arrays['about'].tobytes())
            known = arrays['about']['format'] == FORMAT and set(ABOUT) <= set(arrays['about'])
        except (OSError, ValueError, KeyError):
            known = False
        if not known:
            raise StudyError(f'{path.name} is no cohort of this format: restore it with git checkout.')
        return cls(**arrays)


def pack(predictions: pd.DataFrame, about: dict) -> Compact:
    """The rows of the test population of a run, small.

    predictions   from `read_predictions`, `reweigh` and `calibration.scale`
    about         ABOUT, but for format, class_names and trials

    Decisions by both rules are those of the exact probabilities, wherever 8 bits allow it.  StudyError when
    the trials do not have the same lesions in the same order.
    """
    table, names = predictions[predictions.test_set == TEST_SET], class_names(predictions)
    parts = dict(list(table.groupby(['arm', 'seed', 'fold'], sort=False)))
    if not parts:
        raise StudyError(
            f'There are no predictions of the {TEST_SET}: phantoms and parts of a divided set have one.'
        )
    first = next(iter(parts.values()))
    rows = []
    for trial, part in parts.items():
        if part.id.tolist() != first.id.tolist():
            raise StudyError(f'{trial[0]} was tested on other lesions: run 08_classification again.')
        rows.append(_pack_trial(part, names))
    members = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    about = about | {'format': FORMAT, 'class_names': names, 'trials': [list(trial) for trial in parts]}
    patients = pd.factorize(first.patient)[0].astype(np.uint16)
    return Compact(about, first.label.to_numpy().astype(np.uint8), patients, **members)


def _pack_trial(part, names):
    """The members of one trial: codes, scales, mass, temperature, bias."""
    mass = part[[f'mass_{n}' for n in names]].iloc[0].to_numpy(np.float32)
    codes, scale = encode(probabilities(part, names), mass)
    temperature, bias = np.float32(np.nan), np.full(len(names), np.nan, np.float32)
    if 'temperature' in part and part.temperature.nunique() == 1:  # cross-fitted, each half has its own
        temperature = np.float32(part.temperature.iloc[0])
        bias = part[[f'bias_{n}' for n in names]].iloc[0].to_numpy(np.float32)
    return {'codes': codes, 'scales': scale, 'mass': mass, 'temperature': temperature, 'bias': bias}


def encode(p: np.ndarray, mass: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """(codes uint8 (n, K - 1), scale) of probabilities (n, K), K >= 2.

    Codes are moved by as little as needed where rounding changes argmax p / mass, or else argmax p.
    """
    logs = np.log(p.clip(ROUNDED))
    odds = logs[:, 1:] - logs[:, :1]
    scale = np.float32(max(np.abs(odds).max(), 1e-3))
    top = np.arcsinh(scale / KNEE)
    codes = np.rint(HALF * np.arcsinh(odds / KNEE) / top).astype(int).clip(-HALF, HALF)
    for weight in (None, mass):  # the primary rule last: it prevails
        wanted = decide(p, weight)
        for _ in range(2 * HALF):
            named = decide(_from_codes(codes, scale), weight)
            wrong = np.flatnonzero(named != wanted)
            if not len(wrong):
                break
            _move(codes, wrong, named[wrong], wanted[wrong])
    return (codes + HALF).astype(np.uint8), scale


def _move(codes, rows, named, wanted):
    """One step in `codes`: the class that should be named up; where it is the first, the other down."""
    up = wanted > 0
    codes[rows[up], wanted[up] - 1] += 1
    codes[rows[~up], named[~up] - 1] -= 1
    codes.clip(-HALF, HALF, out=codes)


def decode(codes: np.ndarray, scale: float) -> np.ndarray:
    """Probabilities (n, K) of codes (n, K - 1):

    log(p_k / p_0) = KNEE sinh(c asinh(scale / KNEE)), c = (code - HALF) / HALF in -1 ... 1.
    """
    return _from_codes(codes.astype(int) - HALF, scale)


def _from_codes(codes, scale):
    odds = KNEE * np.sinh(codes / HALF * np.arcsinh(scale / KNEE))
    return softmax(np.concatenate([np.zeros((len(odds), 1)), odds], 1), 1)
