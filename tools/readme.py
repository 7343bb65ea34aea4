"""What was measured once and is committed: the long run and the map in `measured/`, and the part of the README that is written from them.

python -m genmix.report --from runs/study                     keep the results of that run, and write the README's numbers anew
python -m genmix.report --from runs/breast --real BreastMNIST  the same for a run on real images, by a name of its own
python -m genmix.report                                       only the README
"""

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import yaml

from genmix import StudyError
from genmix.appendix import sweep
from genmix.results import claims, contrasts, metrics, selection_error, tables
from genmix.results.measured import KEPT, long_run, measured, sweep_results
from genmix.run.files import atomic_write
from genmix.run.study import home

MARKS = '<!-- {}: written by genmix/report.py from measured/ -->', '<!-- end of {} -->'


def keep(results):
    """Copy the tables of a finished run into measured/study/.  StudyError when one is missing."""
    for name in KEPT:
        source = Path(results) / f'{name}.csv'
        if not source.exists():
            raise StudyError(
                f'{source} is missing: only a finished run on the default phantoms can be kept; run `make study`.'
            )
        with atomic_write(measured() / 'study' / source.name) as part:
            shutil.copy(source, part)


def keep_real(run, name):
    """Keep the scores of a finished run on real images as measured/real/<name>.csv, and how it was asked for, without paths of this machine, beside them."""
    results, about = run / 'results', run / 'params.yaml'
    if not (results / 'arms.csv').exists():
        raise StudyError(f'{run.name} has no results: finish it with `make all RUN={run.name}`.')
    asked = yaml.safe_load(about.read_text())['set']
    words = [
        f'{k}={Path("/path/to") / Path(v).name if k in ("data_dir", "labels_csv") else v}'
        for k, v in asked.items()
    ]
    said = {
        'asked': ' '.join(words),
        'caption': (results / 'table.md').read_text().strip().splitlines()[-1],
        'declared': declared(pd.read_csv(results / 'contrasts.csv'), 'holdout'),
        'sets': nearness(pd.read_csv(card))
        if (card := run / 'audit' / 'generator_card.csv').exists()
        else '',
    }
    for suffix, text in (('csv', (results / 'arms.csv').read_text()), ('json', json.dumps(said, indent=1))):
        with atomic_write(measured() / 'real' / f'{name}.{suffix}') as part:
            part.write_text(text)


# ---- the README ---------------------------------------------------------------------------------------------------


def narrow(text):
    """A Markdown table without the blanks that line it up."""
    return re.sub(r'-{3,}', '---', re.sub(r' {2,}', ' ', text))


def declared(table, test_set):
    """The contrast that was declared beforehand, the first of a table of contrasts, in words."""
    first = table[table.test_set == test_set].iloc[[0]]
    return (
        contrasts.summarise_contrasts(first, test_set)[0]
        .replace(first.a.item(), 'the mean of genmix-<g>')
        .replace(first.b.item(), 'that of the generators alone')
    )


def nearness(card):
    """How near the synthetic sets of a generator card come to real images, in words."""
    whole_set = card[(card.label == 'all') & card.metric.isin(['kid', 'coverage'])].pivot(
        index='generator', columns='metric', values='value'
    )
    return 'KID (0 is best) and coverage of the synthetic sets: ' + ', '.join(
        f'{r.Index} {r.kid:.1f} and {r.coverage:.2f}' for r in whole_set.itertuples()
    )


def results_block(long):
    """The README's results: arms with intervals, the declared contrast, the claims, all from the long run."""
    arms, primary, parts = long['arms'], long['contrasts'], long['claims']
    wide = arms[arms.metric == metrics.PRIMARY].assign(
        cell=lambda t: [
            f'{100 * r.mean_:.1f} [{100 * r.low:.1f}, {100 * r.high:.1f}]'
            for r in t.rename(columns={'mean': 'mean_'}).itertuples()
        ]
    )
    scores = wide.pivot(index='arm', columns='test_set', values='cell').loc[tables.in_order(wide.arm)]
    last = primary.test_set.iloc[-1]
    first, generators = primary[primary.test_set == last].iloc[0], primary.a.iloc[0].count('genmix-')
    family = primary[(primary.test_set == last)].iloc[: generators + 1]
    seeds = int(long['metrics'].seed.nunique())
    return '\n'.join(
        [
            f'Balanced accuracy in per cent, mean of {seeds} classifiers an arm with 95 % intervals over seeds and patients:',
            '',
            narrow(scores.rename(index=lambda a: f'`{a}`').to_markdown()),
            '',
            f'**The contrast that was declared beforehand**: {declared(primary, last)}. This design would have found a true difference of '
            f'{100 * first.detectable:.1f} points four times in five.',
            '',
            'Generator by generator:',
            '',
            *(f'- {line}' for line in contrasts.summarise_contrasts(family.iloc[1:], last)),
            '',
            '**The claims**, by the strict rule of `09_results` (supported only when every part is):',
            '',
            *(f'- {line}' for line in claims.summarise_claims(parts)),
            '',
            narrow(claims.overview(parts).to_markdown(index=False)),
            '',
            *(
                f'As for hold-outs: {line}.'
                for line in selection_error.summarise_selection_error(long['luck'], 100)
            ),
        ]
    )


def map_block(scores):
    """The README's lines on the map."""
    return '\n'.join(f'- {line}' for line in sweep.summarise_sweep(scores))


def real_block(folder):
    """The README's table of real images: balanced accuracy of each arm on each set, and how each was asked for."""
    scores, lines = {}, []
    for path in sorted(folder.glob('*.csv')):
        table, about = pd.read_csv(path), json.loads(path.with_suffix('.json').read_text())
        own = table[(table.metric == metrics.PRIMARY) & (table.test_set == 'holdout')].set_index('arm')
        scores[path.stem] = {
            a: f'{100 * own["mean"][a]:.1f} [{100 * own.low[a]:.1f}, {100 * own.high[a]:.1f}]'
            for a in own.index
        }
        said = '. '.join(
            filter(
                None, (about['declared'][0].upper() + about['declared'][1:], about['sets'], about['caption'])
            )
        )
        lines += [f'- **{path.stem}**: `make all RUN={path.stem.lower()} SET="{about["asked"]}"`. {said}']
    wide = pd.DataFrame(scores).rename_axis('arm')
    wide = wide.loc[tables.in_order(wide.index)].fillna('')
    return '\n'.join(
        [
            'Balanced accuracy on the hold-out in per cent:',
            '',
            narrow(wide.rename(index=lambda a: f'`{a}`').to_markdown()),
            '',
            *lines,
        ]
    )


def written(text):
    """`text` of a README with the marked blocks written anew; a block whose numbers are not committed stays."""
    blocks = {}
    if long := long_run():
        blocks['results'] = results_block(long)
    if found := sweep_results():
        blocks['map'] = map_block(found[0])
    if list((measured() / 'real').glob('*.csv')):
        blocks['real'] = real_block(measured() / 'real')
    for name, block in blocks.items():
        start, end = (mark.format(name) for mark in MARKS)
        if start not in text or end not in text:
            raise StudyError(f'README.md lacks the lines "{start}" and "{end}": put them back.')
        text = re.sub(
            f'(?s){re.escape(start)}.*?{re.escape(end)}', lambda _: f'{start}\n{block}\n{end}', text
        )
    return text


def main(argv=None):
    parser = argparse.ArgumentParser(prog='python -m genmix.report', description=__doc__.splitlines()[0])
    parser.add_argument(
        '--from', dest='run', help='a finished run whose results are to be kept, such as runs/study'
    )
    parser.add_argument('--real', metavar='NAME', help='it is a run on real images, to be known by that name')
    args = parser.parse_args(argv)
    try:
        if args.run and args.real:
            keep_real(home() / args.run, args.real)
        elif args.run:
            keep(home() / args.run / 'results')
        path = home() / 'README.md'
        text = written(path.read_text(encoding='utf-8'))
        with atomic_write(path) as part:
            part.write_text(text, encoding='utf-8')
    except StudyError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
