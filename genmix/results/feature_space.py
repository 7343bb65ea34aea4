"""The images of a run, and their penultimate features in the network of one arm."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from genmix.data.build import part
from genmix.data.cohort import Cohort
from genmix.data.sampling import one_hot
from genmix.data.splits import check_split
from genmix.mixing.arms import Arm, load_arms
from genmix.mixing.dataset import GenMixSet, load_set
from genmix.run.study import Study, stage_name


@dataclass(frozen=True)
class Sets:
    """The images of a run: held-out and training lesions, synthetic and GenMix sets by generator."""

    heldout: Cohort
    training: Cohort
    synthetic: dict[str, Cohort]
    mixed: dict[str, GenMixSet]

    @classmethod
    def load(cls, study: Study, generators) -> 'Sets':
        """Those of the named generators.  StudyError for a set that is missing or of another split."""
        training, synthetic = part(study), {}
        for name in generators:
            synthetic[name] = Cohort.load(study.need(stage_name('synthetic', name), '07_genmix'))
            check_split(synthetic[name], training)
        mixed = {name: load_set(study, training, images) for name, images in synthetic.items()}
        return cls(part(study, 'test'), training, synthetic, mixed)

    def pictured(self, generators, mixtures, shown, seed=0, training=False):
        """(images uint8 (n, H, W), table): every held-out lesion, `shown` images of each other set.

        Sets: synthetic ones of `generators`, GenMix of `mixtures`, training lesions if asked.  Columns: the
        soft label y_<class>..., kind (real, synthetic, mixed), source.
        """
        rng, names = np.random.default_rng(seed), self.heldout.class_names

        def some(n):
            return np.sort(rng.permutation(n)[:shown])

        cohorts = [('real', 'held-out', self.heldout, slice(None))]
        cohorts += [('real', 'training', self.training, some(len(self.training)))] if training else []
        chosen = {name: s for name, s in self.synthetic.items() if name in generators}
        cohorts += [('synthetic', name, s, some(len(s))) for name, s in chosen.items()]
        parts = [
            (kind, source, s.images[rows], one_hot(s.labels[rows], len(names)))
            for kind, source, s, rows in cohorts
        ]
        for name in mixtures:
            own = self.mixed[name]
            rows = some(len(own.x))
            parts.append(('mixed', f'genmix-{name}', own.x[rows], own.y[rows]))
        tables = [
            pd.DataFrame(soft, columns=[f'y_{c}' for c in names]).assign(kind=kind, source=source)
            for kind, source, _, soft in parts
        ]
        return np.concatenate([images for _, _, images, _ in parts]), pd.concat(tables, ignore_index=True)


class FeatureSpace:
    """Features of the saved classifier of one arm: space(images uint8 (n, H, W)) -> float32 (n, d).

    Each feature is in standard deviations of the real training lesions around their mean: one scale,
    whatever is shown. A feature that is the same for all of them is left as it is.
    """

    def __init__(self, study: Study, arm: Arm, training: Cohort):
        from genmix.classifier.trials import load_classifier

        self.model, config = load_classifier(study, arm.name)
        self.size = config['input_size']
        known = self._features(training.images)
        self.mean, sd = known.mean(0), known.std(0)
        self.scale = np.where(sd > 1e-6, sd, 1)

    def _features(self, images):
        from genmix.classifier.training import predict

        return predict(self.model, images, self.size, of='features')

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return (self._features(images) - self.mean) / self.scale


def classifier_key(study: Study, arm: Arm) -> str:
    """The key of an arm's saved classifier, '' where there is none."""
    config = study.folder / 'classifiers' / arm.slug / 'config.json'
    return json.loads(config.read_text())['key'] if config.exists() else ''


def trained_arms(study: Study) -> dict[str, Arm]:
    """The arms whose saved classifier is of the current predictions, by name, in the order of 08."""
    current = set(study.provenance('predictions').get('params', {}).get('trials', {}).values())
    return {name: arm for name, arm in load_arms(study).items() if classifier_key(study, arm) in current}
