"""Compare a finished run with measured/quick.json: counts exactly, scores within their intervals.

python -m tools.verify --run cpu      one line per number that moved too far and exit code 1,
                                      or one line that all agree

Phantoms and splits are the same on every machine.  Networks are not: a difference in rounding changes a
whole training, so that a score is one draw of many.  How far each kind of number may move is said at
`interval_moved` and `TOLERANCE`.
"""

import json
import math
import re
import sys

import yaml

from genmix import StudyError
from genmix.data.cohort import Cohort, read_rows
from genmix.data.splits import select
from genmix.results.measured import as_committed, failing
from genmix.results.metrics import PRIMARY, RULES
from genmix.run.log import log
from genmix.run.profile import WHERE
from genmix.run.study import Study, home
from tools import cli

COMMITTED = 'measured/quick.json'
MAX_RATIO = 3  # of the widths of two intervals: five classifiers estimate a standard deviation only roughly
# What a generator trained again may differ by: share of samples of the class that was asked for, share of
# the committed diversity, share of real lesions with a sample nearby.  Wide enough for another training
# with the same configuration, narrow enough to find one that collapsed or lost a class.
TOLERANCE = {'class_agreement': 0.1, 'diversity': 0.15, 'coverage': 0.1}
RELATIVE = {'diversity'}


def need_default(study):
    """StudyError unless the run has the default profile and no SET (where the work was done is free)."""
    path = study.folder / 'params.yaml'
    if not path.exists():
        raise StudyError(f'runs/{study.run} is no run of the study: run `make all RUN={study.run}` first.')
    asked = yaml.safe_load(path.read_text(encoding='utf-8'))
    words = [f'{k}={v}' for k, v in asked['set'].items() if k.rpartition('.')[2] not in WHERE]
    if asked['profile'] != 'cpu' or words:
        raise StudyError(
            f'runs/{study.run} was made with profile {asked["profile"]} and '
            f'SET of {" ".join(words) or "nothing"}: '
            'only a run of profile cpu without SET is published and compared.'
        )


def numbers(study):
    """The named numbers of a finished run, nested dicts of counts, fingerprints and floats with six digits.

    exact      counts of lesions and patients, fingerprints of training splits, numbers of arms, seeds, folds
    scores     test set, arm: [mean, low, high] of balanced accuracy
    contrast   test set: [mean, low, high] of the primary contrast
    cards      generator: class agreement, diversity, coverage over all classes
    failing    generators whose card fails the gate of the audit; not compared, their numbers are

    Raises StudyError when a stage is missing.
    """
    exact = cohort_numbers(study)
    results, audit = study.need('results', '09_results'), study.need('audit', '06_generator_audit')
    arms, contrasts, metrics = (
        read_rows(results / f'{name}.csv') for name in ('arms', 'contrasts', 'metrics')
    )
    exact['classifiers'] = {f'{name}s': int(metrics[name].nunique()) for name in ('arm', 'seed', 'fold')}
    if study.key('population'):
        exact['population'] = counted(Cohort.load(study.folder / 'population'))
    scores = arms[(arms.metric == PRIMARY) & (arms.label == 'all') & (arms.rule == RULES[0])]
    card = read_rows(audit / 'generator_card.csv')
    card = card[(card.label == 'all') & card.metric.isin(TOLERANCE)]
    return {
        'exact': exact,
        'scores': {
            name: {row['arm']: interval(row) for _, row in rows.iterrows()}
            for name, rows in scores.groupby('test_set')
        },
        'contrast': {name: interval(rows.iloc[0]) for name, rows in contrasts.groupby('test_set')},
        'cards': {
            name: {row.metric: short(row.value) for row in rows.itertuples()}
            for name, rows in card.groupby('generator')
        },
        'failing': list(failing(study)),
    }


def cohort_numbers(study):
    """Counts of the cohort and of its splits."""
    cohort = Cohort.load(study.need('cohort', '01_data'))
    splits = read_rows(study.folder / 'cohort' / 'splits.csv')
    folds = [name for name in splits if name.startswith('fold')]
    return {
        'cohort': {'lesions': counted(cohort), 'patients': len(set(cohort.patients))},
        'splits': {fold: split_counts(cohort, splits, int(fold[4:])) for fold in folds},
    }


def counted(cohort):
    return {name: int(n) for name, n in cohort.counts.items()}


def split_counts(cohort, splits, fold):
    """Lesions per class and patients of each role in a fold, and the fingerprint of the training part."""
    roles = {role: select(cohort, splits, fold, role) for role in ('train', 'test', 'unused')}
    return {'fingerprint': roles['train'].fingerprint} | {
        role: counted(part) | {'patients': len(set(part.patients))} for role, part in roles.items()
    }


def short(value):
    """Six decimals; None for what could not be measured, since JSON has no NaN."""
    return round(float(value), 6) if math.isfinite(value) else None


def interval(row):
    return [short(row[name]) for name in ('mean', 'low', 'high')]


def as_text(found):
    """The numbers as JSON, each innermost list or dict on one line."""

    def on_one_line(part):
        return re.sub(r'(?<=[\[{]) | (?=[\]}])', '', re.sub(r'\s+', ' ', part[0]))

    return re.sub(r'[\[{][^\[\]{}]*[\]}]', on_one_line, json.dumps(found, indent=1)) + '\n'


def committed(study):
    path = study.home / COMMITTED
    if not path.exists():
        raise StudyError(f'{COMMITTED} is missing: `make publish` writes it from a finished run.')
    try:
        return json.loads(as_committed(path).read_text(encoding='utf-8'))
    except ValueError as error:
        raise StudyError(f'{COMMITTED} is no JSON ({error}): restore it with git checkout.') from None


def leaves(tree, path=()):
    """{path: value} of a nested dict."""
    if not isinstance(tree, dict):
        return {path: tree}
    return {p: v for key, below in tree.items() for p, v in leaves(below, (*path, key)).items()}


def moved(before, now):
    """One line for each number of two `numbers` that differs by more than it may; [] when all agree."""
    before, now, said = leaves(before), leaves(now), []
    for path in before | now:
        a, b = before.get(path), now.get(path)
        why = why_moved(path, a, b) if path in before and path in now else 'only one has it'
        if why:
            said.append(f'{", ".join(path)}: {format_value(a)} committed, {format_value(b)} now: {why}')
    return said


def why_moved(path, before, now):
    """Why the number at `path` moved too far, '' when it did not."""
    if path[0] == 'exact':
        return '' if before == now else 'must be equal'
    if path[0] == 'failing':
        return ''
    return card_moved(before, now, path[-1]) if path[0] == 'cards' else interval_moved(before, now)


def interval_moved(before, now):
    """Why two [mean, low, high] cannot be draws of one experiment, '' when they can.

    The means may lie as far apart as the half widths of both intervals together: for symmetric intervals,
    these must overlap.  To ask that the new mean lies in the old interval would be too strict, for it
    varies as much as the old one: one honest repetition in six would fail for each arm whose variation
    comes from its classifiers.  The intervals cover another five classifiers and other patients, but not
    another training of the generators; the patients are the same here, which leaves room for that
    training.
    """
    if None in (*before, *now):
        return '' if before == now else 'one could not be measured'
    half = [(high - low) / 2 for _, low, high in (before, now)]
    if abs(before[0] - now[0]) > sum(half) + 1e-9:
        return 'too far apart for their intervals'
    wider = max(half) > MAX_RATIO * min(half) + 1e-9
    return f'one interval is more than {MAX_RATIO} times as wide as the other' if wider else ''


def card_moved(before, now, metric):
    """Why a number of a generator's card moved too far, '' when it did not."""
    if None in (before, now):
        return '' if before == now else 'one could not be measured'
    allowed = TOLERANCE[metric] * (before if metric in RELATIVE else 1)
    return f'more than {allowed:.3g} apart' if abs(before - now) > allowed + 1e-9 else ''


def format_value(value):
    if isinstance(value, list):
        mean, low, high = ('-' if v is None else f'{100 * v:.1f}' for v in value)
        return f'{mean} [{low}, {high}]'
    return 'nothing' if value is None else json.dumps(value)


@cli.command
def main(argv):
    args = cli.parser('tools.verify', __doc__, run=True).parse_args(argv)
    study = Study(args.run, home())
    need_default(study)
    before, now = committed(study), numbers(study)
    if said := moved(before, now):
        print('\n'.join(said))
        return 1
    before, now = leaves(before), leaves(now)
    same = sum(before[path] == value for path, value in now.items())
    log.info(
        f'runs/{args.run} agrees with {COMMITTED} in all {len(now)} values, {same} of them to the last digit'
    )


if __name__ == '__main__':
    sys.exit(main())
