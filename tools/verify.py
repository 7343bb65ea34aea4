"""Does a run say what the committed one said?  Its numbers against measured/quick.json: counts exactly, scores within their intervals.

python -m genmix.verify --run cpu      one line for each number that moved too far and exit code 1, or one line that all agree

Phantoms and splits are the same on every machine.  Networks are not: rounding alone leads a training elsewhere, so that a score is one draw
of many.  What each kind of number is allowed is said at `interval_moved` and `TOLERANCE`.
"""

import argparse
import json
import math
import re
import sys

import pandas as pd
import yaml
from nbdime.diffing import diff

from genmix import StudyError
from genmix.data.cohort import Cohort
from genmix.data.splits import select
from genmix.results.metrics import PRIMARY
from genmix.run.log import MARK
from genmix.run.runner import WHERE
from genmix.run.study import Study, home

COMMITTED = 'measured/quick.json'
WIDER = 3  # times that one interval may be as wide as the other: five classifiers know their own spread only roughly
# What a generator trained again may differ by: share of samples of the asked-for class, share of the committed diversity, share of real
# lesions with a sample nearby.  Wide enough for another training of the same recipe, narrow enough for one that collapsed or lost its classes.
TOLERANCE = {'class_agreement': 0.1, 'diversity': 0.15, 'coverage': 0.1}
RELATIVE = {'diversity'}


def need_default(study):
    """StudyError unless the run was asked for the default profile and nothing else (where the work was done does not count)."""
    path = study.folder / 'params.yaml'
    if not path.exists():
        raise StudyError(f'runs/{study.run} is no run of the study: run `make all RUN={study.run}` first.')
    asked = yaml.safe_load(path.read_text(encoding='utf-8'))
    words = [f'{k}={v}' for k, v in asked['set'].items() if k.rpartition('.')[2] not in WHERE]
    if asked['profile'] != 'cpu' or words:
        raise StudyError(
            f'runs/{study.run} was made with profile {asked["profile"]} and SET of {" ".join(words) or "nothing"}: '
            'only a run of profile cpu without SET is published and compared.'
        )


# ---- what is committed --------------------------------------------------------------------------------------------


def numbers(study):
    """The named numbers of a finished run: {'exact': ..., 'scores': ..., 'contrast': ..., 'cards': ...}, nested, six digits.

    exact      counts of lesions and patients, fingerprints of the training splits, numbers of arms, seeds and folds
    scores     test set, arm: [mean, low, high] of balanced accuracy
    contrast   test set: [mean, low, high] of the contrast that was declared beforehand
    cards      generator: class agreement, diversity, coverage over all classes

    Raises StudyError when a stage is missing.
    """
    cohort = Cohort.load(study.need('cohort', '01_data'))
    splits = pd.read_csv(study.folder / 'cohort' / 'splits.csv', dtype={'id': str, 'patient': str})
    results, card = (
        study.need('results', '09_results'),
        pd.read_csv(study.need('audit', '06_generator_audit') / 'generator_card.csv'),
    )
    arms, contrasts, metrics = (
        pd.read_csv(results / f'{name}.csv') for name in ('arms', 'contrasts', 'metrics')
    )
    exact = {
        'cohort': {'lesions': counted(cohort), 'patients': len(set(cohort.patients))},
        'splits': {
            fold: split_counts(cohort, splits, int(fold[4:])) for fold in splits if fold.startswith('fold')
        },
        'classifiers': {f'{name}s': int(metrics[name].nunique()) for name in ('arm', 'seed', 'fold')},
    }
    if study.key('population'):
        exact['population'] = counted(Cohort.load(study.folder / 'population'))
    scores = arms[(arms.metric == PRIMARY) & (arms.label == 'all')]
    cards = card[(card.label == 'all') & card.metric.isin(TOLERANCE)]
    return {
        'exact': exact,
        'scores': {
            name: {r['arm']: interval(r) for _, r in rows.iterrows()}
            for name, rows in scores.groupby('test_set')
        },
        'contrast': {name: interval(rows.iloc[0]) for name, rows in contrasts.groupby('test_set')},
        'cards': {
            name: {r.metric: short(r.value) for r in rows.itertuples()}
            for name, rows in cards.groupby('generator')
        },
    }


def counted(cohort):
    return {name: int(n) for name, n in cohort.counts.items()}


def split_counts(cohort, splits, fold):
    """Lesions of each class and patients by role in a fold, and who was learned from."""
    roles = {role: select(cohort, splits, fold, role) for role in ('train', 'test', 'unused')}
    return {'fingerprint': roles['train'].fingerprint} | {
        role: counted(part) | {'patients': len(set(part.patients))} for role, part in roles.items()
    }


def short(value):
    """Six digits behind the point; None for what could not be measured, which JSON has no other word for."""
    return round(float(value), 6) if math.isfinite(value) else None


def interval(row):
    return [short(row[name]) for name in ('mean', 'low', 'high')]


def as_text(found):
    """The numbers as JSON, an interval a line."""
    return (
        re.sub(
            r'[\[{][^\[\]{}]*[\]}]',
            lambda part: (
                re.sub(r'\s+', ' ', part[0])
                .replace('{ ', '{')
                .replace(' }', '}')
                .replace('[ ', '[')
                .replace(' ]', ']')
            ),
            json.dumps(found, indent=1),
        )
        + '\n'
    )


def committed(study):
    path = study.home / COMMITTED
    if not path.exists():
        raise StudyError(f'{COMMITTED} is missing: `make publish` writes it from a finished run.')
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise StudyError(f'{COMMITTED} is no JSON ({error}): restore it with git checkout.') from None


# ---- comparing ----------------------------------------------------------------------------------------------------


def leaves(tree, path=()):
    """{path: value} of a nested dict."""
    if not isinstance(tree, dict):
        return {path: tree}
    return {p: v for key, below in tree.items() for p, v in leaves(below, (*path, key)).items()}


def changes(operations, before, now, path=()):
    """(path, before, now) of whatever nbdime's diff of two nested dicts names; None where one has nothing."""
    for o in operations:
        if o.op == 'patch' and isinstance(before[o.key], dict):
            yield from changes(o.diff, before[o.key], now[o.key], (*path, o.key))
        else:
            yield (*path, o.key), before.get(o.key), now.get(o.key)


def interval_moved(before, now):
    """Why two [mean, low, high] cannot be draws of one experiment, '' when they can.

    The means may lie as far apart as the half widths of both intervals together: for symmetric intervals, these must overlap.  To ask that the
    new mean lies in the old interval would be too strict, for it varies as much as the old one did: one honest repetition in six would fail
    for each arm whose spread comes from its classifiers.  Intervals hold another five classifiers and other patients, not another training
    of the generators; the second is constant here, which leaves room for the third.
    """
    if None in (*before, *now):
        return '' if before == now else 'one could not be measured'
    half = [(high - low) / 2 for _, low, high in (before, now)]
    if abs(before[0] - now[0]) > sum(half) + 1e-9:
        return 'too far apart for their intervals'
    return (
        f'one interval is more than {WIDER} times as wide as the other'
        if max(half) > WIDER * min(half) + 1e-9
        else ''
    )


def card_moved(before, now, metric):
    """Why a number of a generator's card moved too far, '' when it did not."""
    if None in (before, now):
        return '' if before == now else 'one could not be measured'
    most = TOLERANCE[metric] * (before if metric in RELATIVE else 1)
    return f'more than {most:.3g} apart' if abs(before - now) > most + 1e-9 else ''


def format_value(value):
    def percent(v):
        return '-' if v is None else f'{100 * v:.1f}'

    if isinstance(value, list):
        return f'{percent(value[0])} [{percent(value[1])}, {percent(value[2])}]'
    return 'nothing' if value is None else json.dumps(value)


def moved(before, now):
    """One line for each number of two `numbers` that differs by more than it may; [] when all agree."""
    said = [
        (('exact', *path), a, b, 'must be equal')
        for path, a, b in changes(
            diff(before.get('exact', {}), now['exact']), before.get('exact', {}), now['exact']
        )
    ]
    for part in ('scores', 'contrast', 'cards'):
        old, new = leaves(before.get(part, {}), (part,)), leaves(now[part], (part,))
        for path in old | new:
            if path not in old or path not in new:
                said.append((path, old.get(path), new.get(path), 'only one has it'))
            elif (
                why := card_moved(old[path], new[path], path[-1])
                if part == 'cards'
                else interval_moved(old[path], new[path])
            ):
                said.append((path, old[path], new[path], why))
    return [
        f'{", ".join(path)}: {format_value(a)} committed, {format_value(b)} now: {why}'
        for path, a, b, why in said
    ]


def main(argv=None):
    parser = argparse.ArgumentParser(prog='python -m genmix.verify', description=__doc__.splitlines()[0])
    parser.add_argument('--run', default='cpu', help='a finished run below runs/ (default %(default)s)')
    args = parser.parse_args(argv)
    study = Study(args.run, home())
    try:
        need_default(study)
        before, now = committed(study), numbers(study)
    except StudyError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    if lines := moved(before, now):
        print('\n'.join(lines))
        return 1
    values = leaves(now)
    same = sum(leaves(before)[path] == value for path, value in values.items())
    print(
        f'{MARK} runs/{args.run} agrees with {COMMITTED} in all {len(values)} values, {same} of them to the last digit'
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
