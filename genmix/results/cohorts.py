"""The long run: every contrast over many cohorts, each one file of measured/study/ (`results.compact`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from genmix import StudyError
from genmix.data.build import FILES, open_cohort
from genmix.data.cohort import read_rows
from genmix.mixing.arms import Arm
from genmix.results import calibration
from genmix.results.bootstrap import difference
from genmix.results.compact import Compact, pack
from genmix.results.contrasts import Contrast, declared, exploratory
from genmix.results.intervals import over_units, predicted, superiority
from genmix.results.metrics import (
    RULES,
    class_names,
    decide,
    from_confusion,
    full_key,
    read_predictions,
    reweigh,
    weighted_auc,
)
from genmix.results.verdicts import LOSS, OUTCOMES, contrasts_table, judge, points
from genmix.run.study import Study

DIGITS = 4  # of the numbers of a generator card


def pack_run(study: Study, **more) -> Compact:
    """A finished run that has a test population, small; StudyError when a stage is missing.

    Beside predictions: arms, commit, versions, parameters, the generator card, what mixing did to the sets,
    where the images come from, and what `more` says.
    """
    made = study.need('predictions', '08_classification')
    cohort, _ = open_cohort(study)
    predictions = read_predictions(made)
    weighed = reweigh(predictions, cohort.counts)
    scaled = calibration.scale(weighed, class_names(weighed))
    written, audit = study.provenance('predictions'), study.folder / 'audit'
    about = {
        'cohort': study.provenance('cohort')['params']['seed'],
        'class_counts': cohort.counts.tolist(),
        'source': cohort.source,
        'arms': written['params']['arms'],
        'git': written.get('git', ''),
        'packages': written.get('packages', {}),
        'params': _asked(study.folder / 'params.yaml'),
        'card': _small(audit / 'generator_card.csv'),
        'gains': _small(audit / 'mixing' / 'gains.csv'),
        **more,
    }
    return pack(scaled, about)


def _small(path):
    """A table of the audit as {column: values}, {} where it was not made."""
    return compact_card(read_rows(path)) if path.exists() else {}


def _asked(path):
    """What a run was asked, but for paths of this machine; {} where it does not say."""
    asked = yaml.safe_load(path.read_text(encoding='utf-8')) if path.exists() else {}
    if asked:
        own = {name: without_paths(values) for name, values in asked['notebooks'].items()}
        asked |= {'notebooks': own, 'files': sorted(asked['files'].values())}
    return asked | {'set': without_paths(asked.get('set', {}))}


def without_paths(settings: dict) -> dict:
    """SET, {key: value}, but for paths of this machine."""
    return {key: value for key, value in settings.items() if key.rpartition('.')[2] not in FILES}


def compact_card(card: pd.DataFrame) -> dict[str, list]:
    """A generator card as {column: values}, numbers with DIGITS significant digits, None where missing."""

    def short(value):
        if isinstance(value, str):
            return value
        return float(f'{value:.{DIGITS}g}') if np.isfinite(value) else None

    return {column: [short(v) for v in values] for column, values in card.items()}


@dataclass(frozen=True)
class Cohorts:
    """Finished cohorts, each with arms, classifiers and patients of its own."""

    found: Sequence[Compact]

    @classmethod
    def read(cls, folder: Path) -> 'Cohorts':
        """The files cohort-<seed>.npz of a folder, by seed."""
        every = [Compact.load(path) for path in folder.glob('cohort-*.npz')]
        return cls(sorted(every, key=lambda cohort: cohort.about['cohort']))

    def made_alike(self) -> 'Cohorts':
        """These cohorts; StudyError where two were made with other settings."""
        first, rest = (self.found[0], self.found[1:]) if self.found else (None, [])
        for cohort in rest:
            if first and (wrong := _differing(first, cohort)):
                one, other = first.about['cohort'], cohort.about['cohort']
                raise StudyError(f'Cohorts {one} and {other} differ in {wrong}: remove one of their files.')
        return self

    def __len__(self) -> int:
        return len(self.found)

    @cached_property
    def arms(self) -> dict[str, Arm]:
        """The arms that every cohort has."""
        common = set.intersection(*(set(cohort.about['arms']) for cohort in self.found))
        first = self.found[0].about['arms']
        return {name: Arm(**fields) for name, fields in first.items() if name in common}

    @cached_property
    def outcomes(self) -> list[dict]:
        """{arm: {(metric, label, rule): value}} of each cohort, means over its runs."""
        return [arm_outcomes(cohort) for cohort in self.found]

    def values(self, weights: dict[str, float], metric: str, rule: str) -> np.ndarray:
        """The sum over arms of weight times metric in each cohort: float (cohorts,)."""
        key = full_key(metric, rule)
        return np.array([sum(w * own[arm][key] for arm, w in weights.items()) for own in self.outcomes])

    def estimate(self, weights, metric, rule) -> dict[str, float]:
        """Student's t over the cohorts: the dict of `intervals.student`."""
        return over_units(self.values(weights, metric, rule))

    @property
    def point(self) -> dict[str, dict]:
        """{arm: its outcomes in the first cohort} of the arms that all have."""
        return {name: self.outcomes[0][name] for name in self.arms}

    def contrast(self, a, b, metric=OUTCOMES[0][0], rule=RULES[0]) -> dict[str, float]:
        """a - b, names of arms or lists of them, for their means: the dict of `intervals.student`."""
        return self.estimate(difference(a, b), metric, rule)

    def contrasts(self, tuning: pd.DataFrame | None = None, judged=True) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(declared contrasts, judged; exploratory ones): tables with the columns of results/contrasts.csv.

        judged   False for cohorts that PROTOCOL.md is not about: the declared contrasts then have no verdicts

        The declared ones have a column `superiority`, P(a > b).  StudyError for fewer than two cohorts.
        """
        if len(self) < 2:
            raise StudyError('One cohort has no interval over cohorts: run `make study` until there are two.')
        wanted, seen = declared(self.arms, tuning), len(self)
        table = contrasts_table(wanted, self.estimate, seen, seen, 'population')
        table = judge(table) if judged else table
        share = {
            (c.name, *outcome): superiority(self.values(c.weights, *outcome))
            for c in wanted
            for outcome in OUTCOMES
        }
        keys = zip(table.contrast, table.metric, table.rule)
        table['superiority'] = [share.get(key, np.nan) for key in keys]
        return table, contrasts_table(exploratory(self.arms), self.estimate, seen, seen, 'population')


def _differing(first, cohort):
    """The first setting, but the seed, in which two cohorts differ; '' where they do not.

    Cohorts of one divided set are tested on the same images.
    """
    one, other = (c.about.get('params', {}) for c in (first, cohort))
    places = [('notebooks', name) for name in {**one.get('notebooks', {}), **other.get('notebooks', {})}]
    flat = [
        {f'{nb}.{k}': v for _, nb in places for k, v in about.get('notebooks', {}).get(nb, {}).items()}
        | {'profile': about.get('profile')}
        for about in (one, other)
    ]
    elsewhere = ('seed', 'workers', 'scheduler')
    names = [name for name in {**flat[0], **flat[1]} if name.rpartition('.')[2] not in elsewhere]
    names = [name for name in names if flat[0].get(name) != flat[1].get(name)]
    if first.about.get('set') != cohort.about.get('set'):
        names.append('the set, or how it is divided')
    elif first.about.get('set') and not np.array_equal(first.labels, cohort.labels):
        names.append('the images they are tested on')
    return names[0] if names else ''


def arm_outcomes(cohort: Compact) -> dict[str, dict]:
    """{arm: {(metric, label, rule): value}} in one cohort, means over the runs of an arm.

    The OUTCOMES, and what else decisions give, such as sensitivities.
    """
    y, weight = cohort.labels.astype(int), cohort.weights
    found: dict[str, list] = {}
    for i, (arm, *_) in enumerate(cohort.trials):
        found.setdefault(arm, []).append(_outcomes(cohort, i, y, weight))
    return {
        arm: {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
        for arm, runs in found.items()
    }


def _outcomes(cohort, i, y, weight):
    """{(metric, label, rule): value} of one trial."""
    p, k = cohort.probabilities(i), cohort.mass.shape[1]
    found = {}
    for rule, mass in zip(RULES, (cohort.mass[i], None)):
        counts = np.bincount(y * k + decide(p, mass), weight, minlength=k * k).reshape(k, k)
        found |= {full_key(metric, rule): float(v) for metric, v in from_confusion(counts).items()}
    found[full_key('macro_auc')] = weighted_auc(y, p, np.ones((len(y), 1)))[0]
    loss = -np.log(cohort.scaled(i)[np.arange(len(y)), y].clip(calibration.ROUNDED))
    found[full_key(LOSS)] = (weight * loss).sum() / weight.sum()
    return found


def place(table: pd.DataFrame, contrasts: list[Contrast], cohorts: Cohorts) -> list[str]:
    """Where the contrasts of one run fall among those of the cohorts: one sentence each.

    table   rows of the primary outcome of one run, from `verdicts.of_replicates`
    """
    if len(cohorts) < 2:
        return [
            f'The long run has {len(cohorts)} cohorts so far: it takes two to say what a new one will show.'
        ]
    lines, known = [], {(r.contrast, r.a, r.b): r for r in table.itertuples()}
    for c in contrasts:
        row = known.get((c.name, c.a, c.b))
        if row is None or not set(c.weights) <= set(cohorts.arms):
            continue
        low, high = (100 * v for v in predicted(cohorts.values(c.weights, row.metric, row.rule)))
        inside = 'inside' if low <= 100 * row.mean <= high else 'outside'
        lines.append(
            f'{c.name}: {points(row).split(" ")[0]} points, {inside} the range from {low:+.1f} to '
            f'{high:+.1f} in which 95 of 100 new cohorts are expected ({len(cohorts)} cohorts)'
        )
    return lines
