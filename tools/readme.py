"""Keep the results of a run in `measured/`, and write the blocks of README.md and docs/ that come from it.

python -m tools.readme                            write the blocks anew
python -m tools.readme --from runs/study          keep the results of that run before
python -m tools.readme --from runs/b --real NAME  the same for a run on real images, under that name
"""

import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import yaml

from genmix import StudyError
from genmix.appendix import sweep_summary
from genmix.data.cohort import read_rows
from genmix.generators import PAPER
from genmix.results import claims, metrics, selection_error, tables
from genmix.results.measured import KEPT, as_committed, long_run, measured, sweep_results
from genmix.results.verdicts import format_p, summarise_contrasts
from genmix.run.files import atomic_write
from genmix.run.study import home
from tools import checksums, cli, speed

MARKS = '<!-- {}: written by tools/readme.py from measured/ -->', '<!-- end of {} -->'
# The blocks that each page must have.
PAGES = {
    'README.md': ('results', 'speed'),
    'docs/results.md': ('arms', 'claims', 'map'),
    'docs/real-images.md': ('real',),
}


def keep(results):
    """Copy the tables of a finished run into measured/study/.  StudyError when one is missing."""
    for name in KEPT:
        source = results / f'{name}.csv'
        if not source.exists():
            raise StudyError(
                f'{source} is missing: only a finished run on the default phantoms can be kept; '
                'run `make study`.'
            )
        with atomic_write(measured() / 'study' / source.name) as part:
            shutil.copy(source, part)
    checksums.note(measured(), *(f'study/{name}.csv' for name in KEPT))


def keep_real(run, name):
    """Keep the scores of a finished run on real images as measured/real/<name>.csv.

    Beside them, <name>.json says how it was asked for, without paths of this machine, and what was found.
    """
    results, card = run / 'results', run / 'audit' / 'generator_card.csv'
    if not (results / 'arms.csv').exists():
        raise StudyError(f'{run.name} has no results: finish it with `make all RUN={run.name}`.')
    asked = yaml.safe_load((run / 'params.yaml').read_text())['set']
    for key in asked.keys() & {'data_dir', 'labels_csv'}:
        asked[key] = Path('/path/to') / Path(asked[key]).name
    about = {
        'asked': ' '.join(f'{key}={value}' for key, value in asked.items()),
        'caption': (results / 'table.md').read_text().strip().splitlines()[-1],
        'declared': declared(read_rows(results / 'contrasts.csv'), 'holdout'),
        'sets': nearness(read_rows(card)) if card.exists() else '',
    }
    texts = {'csv': (results / 'arms.csv').read_text(), 'json': json.dumps(about, indent=1)}
    for suffix, text in texts.items():
        with atomic_write(measured() / 'real' / f'{name}.{suffix}') as part:
            part.write_text(text)
    checksums.note(measured(), f'real/{name}.csv', f'real/{name}.json')


# ---- blocks ----


def sentences(table, test_set):
    """One sentence per contrast of a test set: higher, lower, or undecided."""
    verbs = {'undecided': 'is not distinguishable from'}
    verbs |= {word: f'is {word} than' for word in ('higher', 'lower')}
    return [
        f'{r.a} {verbs[r.verdict]} {r.b}: '
        f'{100 * r.mean:+.1f} points [{100 * r.low:+.1f}, {100 * r.high:+.1f}], '
        f'Holm {format_p(r.p)}, {r.n} runs each, {test_set}'
        for r in table[table.test_set == test_set].itertuples()
    ]


def declared(table, test_set):
    """The primary contrast, the first of a table of contrasts, in words."""
    if 'contrast' in table:
        return summarise_contrasts(table.fillna({'verdict': ''}), test_set)[0]
    first = table[table.test_set == test_set].iloc[[0]]
    said = sentences(first, test_set)[0]
    return said.replace(first.a.item(), 'the mean of genmix-<g>').replace(
        first.b.item(), 'that of the generators alone'
    )


def nearness(card):
    """How near the synthetic sets of a generator card come to real images, in words."""
    rows = card[(card.label == 'all') & card.metric.isin(['kid', 'coverage'])]
    sets = rows.pivot(index='generator', columns='metric', values='value').itertuples()
    each = (f'{row.Index} {row.kid:.1f} and {row.coverage:.2f}' for row in sets)
    return 'KID (0 is best) and coverage of the synthetic sets: ' + ', '.join(each)


def table_of(frame, **options):
    """A Markdown table without the blanks that align its columns."""
    return re.sub(r'-{3,}', '---', re.sub(r' {2,}', ' ', frame.to_markdown(**options)))


def bullets(sentences):
    return '\n'.join(f'- {sentence}' for sentence in sentences)


def scores_table(columns):
    """Balanced accuracy in per cent with intervals, one row per arm.  columns: {title: rows of arms.csv}."""
    cells = {}
    for title, table in columns.items():
        chosen = table.metric == metrics.PRIMARY
        if 'rule' in table:
            chosen &= table.rule == metrics.RULES[0]
        own = 100 * table[chosen].set_index('arm')[['mean', 'low', 'high']]
        cells[title] = {
            arm: f'{mean:.1f} [{low:.1f}, {high:.1f}]' for arm, mean, low, high in own.itertuples()
        }
    wide = pd.DataFrame(cells).rename_axis('arm')
    arms = tables.arms_from(pd.concat(columns.values()))
    wide = wide.loc[tables.in_order(wide.index, arms)].fillna('')
    return table_of(wide.rename(index='`{}`'.format))


def results_block(long):
    """The primary contrast, that of each generator, and which claims and controls hold, from the long run."""
    primary = long['contrasts']
    last = primary[primary.test_set == primary.test_set.iloc[-1]]
    mean, n_generators = last.iloc[0], len(set(long['arms'].generator) & set(PAPER))
    controls = claims.verdicts(long['claims'].query('of == "control"'))
    return '\n\n'.join(
        [
            f'**The primary contrast, declared beforehand**: {declared(last, mean.test_set)}. This design '
            f'would find a true difference of {100 * mean.minimum_detectable_effect:.1f} points in four of '
            'five studies.',
            'Generator by generator:',
            bullets(sentences(last.iloc[1 : n_generators + 1], mean.test_set)),
            '**The claims**, by the strict rule of `09_results` (supported only when every part is):',
            bullets(claims.summarise_claims(long['claims'])),
            '**The controls**:',
            bullets(f'{claim}: {verdict}' for claim, verdict in controls.items()),
        ]
    )


def arms_block(long):
    arms, seeds = long['arms'], int(long['metrics'].seed.nunique())
    return (
        f'Balanced accuracy in per cent, mean of {seeds} classifiers per arm with 95 % intervals over seeds '
        'and patients:\n\n' + scores_table(dict(iter(arms.groupby('test_set'))))
    )


def claims_block(long):
    single = selection_error.summarise_selection_error(long['selection_error'], 100)
    found = [table_of(claims.overview(long['claims']), index=False)]
    return '\n\n'.join(found + [f'As for hold-outs: {sentence}.' for sentence in single])


def real_block(folder):
    """Balanced accuracy of each arm on each set of real images, and how each run was asked for."""
    scores, said = {}, []
    for path in sorted(folder.glob('*.csv')):
        scores[path.stem] = read_rows(as_committed(path)).query('test_set == "holdout"')
        about = json.loads(as_committed(path.with_suffix('.json')).read_text())
        found = about['declared'][0].upper() + about['declared'][1:]
        sentences = '. '.join(filter(None, (found, about['sets'], about['caption'])))
        command = f'make all RUN={path.stem.lower()} SET="{about["asked"]}"'
        said.append(f'**{path.stem}**: `{command}`. {sentences}')
    head = 'Balanced accuracy on the hold-out in per cent:'
    return '\n\n'.join([head, scores_table(scores), bullets(said)])


def blocks():
    """{name: text} of the blocks whose tables are in measured/."""
    found = {}
    if long := long_run():
        found |= {'results': results_block(long), 'arms': arms_block(long), 'claims': claims_block(long)}
    if grid := sweep_results():
        found['map'] = bullets(sweep_summary.summarise_sweep(grid[0]))
    if list((measured() / 'real').glob('*.csv')):
        found['real'] = real_block(measured() / 'real')
    if (timed := measured() / 'speed.csv').exists():
        found['speed'] = speed.block(pd.read_csv(timed))
    return {name: re.sub(r'\w+-<g>', r'`\g<0>`', text) for name, text in found.items()}  # <g> is no HTML


def written(page, text, found):
    """`text` of a page with its blocks replaced by those of `found`; a block that is not in `found` stays."""
    for name in PAGES[page]:
        start, end = (mark.format(name) for mark in MARKS)
        if start not in text or end not in text:
            raise StudyError(f'{page} lacks the lines "{start}" and "{end}": put them back.')
        if name in found:
            before, after = text.split(start)[0], text.split(end)[1]
            text = f'{before}{start}\n{found[name]}\n{end}{after}'
    return text


@cli.command
def main(argv):
    parser = cli.parser('tools.readme', __doc__)
    parser.add_argument(
        '--from', dest='run', help='a finished run to keep the results of, such as runs/study'
    )
    parser.add_argument('--real', metavar='NAME', help='it is a run on real images, to be known by that name')
    args = parser.parse_args(argv)
    if args.run and args.real:
        keep_real(home() / args.run, args.real)
    elif args.run:
        keep(home() / args.run / 'results')
    found = blocks()
    texts = {
        home() / page: written(page, (home() / page).read_text(encoding='utf-8'), found) for page in PAGES
    }
    for path, text in texts.items():
        with atomic_write(path) as part:
            part.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    sys.exit(main())
