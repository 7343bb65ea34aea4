"""Performance by subtype, diameter and slice thickness.  Exploratory: intervals, no verdicts.

A group is the test lesions that share a value in a column of the manifest.  Its metrics, by the prior rule,
have the intervals of the whole test set: runs and patients crossed in one run, Student's t over cohorts.  The
balanced accuracy of a group of one class is the sensitivity of that class.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from genmix import StudyError
from genmix.data.phantom import plan
from genmix.mixing.arms import Arm
from genmix.results.bootstrap import bootstrap
from genmix.results.cohorts import Cohorts
from genmix.results.compact import Compact
from genmix.results.contrasts import CEILING
from genmix.results.intervals import over_units
from genmix.results.metrics import PRIMARY, confusion_matrix, decide, from_confusion, full_key

BY = {'subtype': 'subtype', 'diameter_mm': 'diameter', 'slice_mm': 'slice thickness'}  # column: its name
# mm, limits of three bands: of the diameter those of the ACR white paper, Gore 2017, J Am Coll Radiol 14:1429
LIMITS = {'diameter_mm': (10, 15), 'slice_mm': (2.5, 5)}
SINGLE = 3  # so many different values, such as thicknesses of 3 and 5 mm, are groups as they are
FEW = 10  # patients: a group of fewer has no interval
ALL = 'all lesions'
COLUMNS = ['by', 'group', 'lesions', 'patients', 'arm', 'label', 'metric', 'mean', 'low', 'high']


def missing(manifest: pd.DataFrame) -> list[str]:
    """The columns of BY that a manifest lacks."""
    return [column for column in BY if column not in manifest]


def groups(manifest: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """{(by, group): rows bool (n,)} of a manifest in the order of tables: ALL, then those of BY it allows.

    A lesion whose value is unknown is in no group of that column.
    """
    found = {(ALL, ALL): np.ones(len(manifest), bool)}
    for column, by in BY.items():
        if column in manifest:
            order = manifest.sort_values(['label', column] if column == 'subtype' else column)
            names = _names(order, column).dropna()
            for group in dict.fromkeys(names):
                found[by, group] = manifest.index.isin(names.index[names == group])
    return found


def _names(manifest, column):
    """The group of each lesion by one column, missing where it is unknown."""
    values = manifest[column]
    if column not in LIMITS:
        return manifest['class'] + ': ' + values
    if values.nunique() <= SINGLE:
        return values.map('{:g} mm'.format, na_action='ignore')
    low, high = LIMITS[column]
    names = np.select(
        [values < low, values > high], [f'under {low} mm', f'over {high} mm'], f'{low} to {high} mm'
    )
    return pd.Series(names, manifest.index).where(values.notna())


def of_run(
    predictions: pd.DataFrame, lesions: pd.DataFrame, test_set: str, draws=2000, seed=0
) -> pd.DataFrame:
    """COLUMNS for every arm of one run on one test set, runs and patients crossed.

    lesions   manifest of the test lesions, ids and the columns of BY

    StudyError when predictions and manifest have no lesion in common.
    """
    own, rows = predictions[predictions.test_set == test_set], []
    for about, chosen in groups(lesions).items():
        part = own[own.id.isin(lesions.id[chosen])]
        if part.empty:
            continue
        found = bootstrap(part, test_set, draws, seed)
        size = part.id.nunique(), found.n_patients
        for arm, point in found.point.items():
            rows += [
                (
                    *about,
                    *size,
                    arm,
                    label,
                    metric,
                    *_unless_few(found.interval(arm, (metric, label)), size[1]),
                )
                for metric, label in _shown(point)
            ]
    if not rows:
        raise StudyError(f'No lesion of the {test_set} is in the manifest: run 08_classification again.')
    return _named(pd.DataFrame(rows, columns=COLUMNS), lesions)


def _shown(point):
    """(metric, label) of a group: balanced accuracy, and where it has several classes their sensitivities."""
    each = [
        (metric, label)
        for metric, label, rule in point
        if metric == 'sensitivity' and rule == 'prior' and np.isfinite(point[metric, label, rule])
    ]
    return [(PRIMARY, 'all'), *(each if len(each) > 1 else [])]


def _unless_few(interval, patients):
    mean, *ends = interval
    return (mean, *(ends if patients >= FEW else (np.nan, np.nan)))


def _named(table, lesions):
    """The table with names of classes in place of their numbers."""
    names = lesions.drop_duplicates('label').set_index('label')['class'].to_dict()
    return table.assign(label=table.label.replace(names))


def of_cohorts(cohorts: Cohorts) -> pd.DataFrame:
    """COLUMNS for every arm that the cohorts share, Student's t over them; sizes are means.

    StudyError for fewer than two cohorts, and when the phantoms of one are not drawn again.
    """
    if len(cohorts) < 2:
        raise StudyError('One cohort has no interval over cohorts: run `make study` until there are two.')
    each, sizes = {}, {}
    for cohort in cohorts.found:
        lesions = test_lesions(cohort)
        for about, chosen in groups(lesions).items():
            sizes.setdefault(about, []).append((chosen.sum(), lesions.patient[chosen].nunique()))
            for arm, values in _outcomes(cohort, chosen).items():
                for metric, label in _shown(values) if arm in cohorts.arms else ():
                    key = *about, arm, label, metric
                    each.setdefault(key, []).append(values[full_key((metric, label))])
    rows = []
    for (by, group, *rest), values in each.items():
        size = np.mean(sizes[by, group], 0).round().astype(int)
        found = over_units(values) if len(values) > 1 else {'mean': values[0], 'low': np.nan, 'high': np.nan}
        rows.append((by, group, *size, *rest, *(found[name] for name in ('mean', 'low', 'high'))))
    return _named(pd.DataFrame(rows, columns=COLUMNS), lesions)


def test_lesions(cohort: Compact) -> pd.DataFrame:
    """The manifest of the test population of a cohort of the long run, planned again from its seed.

    StudyError when the phantoms are no longer those that its classifiers were tested on.
    """
    counts, names = np.bincount(cohort.labels, minlength=len(plan.CLASS_NAMES)), cohort.about['class_names']
    lesions = plan.plan('test', counts, None, cohort.about['cohort'])
    same = np.array_equal(lesions.label, cohort.labels)
    if not (same and np.array_equal(pd.factorize(lesions.patient)[0], cohort.patients)):
        raise StudyError(
            f'Cohort {cohort.about["cohort"]} was tested on phantoms that this code does not draw: check out '
            f'the commit that made it ({cohort.about.get("git") or "see git log measured/study"}).'
        )
    return lesions.assign(**{'class': np.array(names)[lesions.label]})


def _outcomes(cohort, chosen):
    """{arm: {(metric, label, rule): value}} of some lesions of a cohort, means over the runs of an arm."""
    y, runs = cohort.labels[chosen].astype(int), {}
    for i, (arm, *_) in enumerate(cohort.trials):
        guess = decide(cohort.probabilities(i)[chosen], cohort.mass[i])
        counts = confusion_matrix(y, guess, cohort.mass.shape[1])
        runs.setdefault(arm, []).append({full_key(m): v for m, v in from_confusion(counts).items()})
    return {arm: pd.DataFrame(own).mean().to_dict() for arm, own in runs.items()}


def as_text(table: pd.DataFrame, arms: list[str]) -> pd.DataFrame:
    """'mean [low, high]' in per cent, a column for each of the arms; rows are groups and metrics."""
    own = table[table.arm.isin(arms)]
    ends = (100 * own[['mean', 'low', 'high']].clip(0, 1)).to_numpy()
    said = ['{:.1f} [{:.1f}, {:.1f}]'.format(*v) if np.isfinite(v).all() else f'{v[0]:.1f}' for v in ends]
    keys = ['by', 'group', 'lesions', 'patients', 'metric', 'label']
    wide = own.assign(said=said).pivot_table('said', keys, 'arm', aggfunc='first', sort=False)
    return wide.reindex(columns=arms)


def best_arm(table: pd.DataFrame, arms: Mapping[str, Arm], kind='') -> str:
    """The arm with the highest balanced accuracy over all lesions, of a kind if one is named; no oracle.

    '' where there is none.  Chosen on the lesions it is shown for, so that its own score is too high.
    """
    own = table[(table.by == ALL) & (table.metric == PRIMARY)].set_index('arm')['mean']
    known = [a for a in own.index if arms[a].generator != CEILING and kind in ('', arms[a].kind)]
    return own[known].idxmax() if known else ''


def summarise(table: pd.DataFrame, arm: str) -> list[str]:
    """One sentence for each column of BY: the groups in which an arm scores lowest and highest."""
    own, lines = table[(table.arm == arm) & (table.metric == PRIMARY)], []
    for by, part in own[own.by != ALL].groupby('by', sort=False):
        ends = (part.loc[part['mean'].agg(pick)] for pick in ('idxmin', 'idxmax'))
        said = ' to '.join(f'{r["mean"]:.1%} ({r.group}, {r.lesions} lesions)' for r in ends)
        lines.append(f'{arm}, by {by}: from {said}')
    return lines
