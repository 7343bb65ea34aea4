"""Keep the results of a run in `measured/`, and write the blocks of README.md and docs/ that come from it.

python -m tools.readme                            write the blocks anew
python -m tools.readme --from runs/b --real NAME  keep the results of a run on real images before, as NAME
"""

import json
import re
import sys
from pathlib import Path

import pandas as pd
import yaml

from genmix import StudyError
from genmix.data.cohort import read_rows
from genmix.results import claims, metrics, tables
from genmix.results.effect_map import summarise_map
from genmix.results.measured import as_committed, cohorts, effect_map, long_run_claims, measured, tuning
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


def so_far(long):
    """What is said while the long run has fewer than two cohorts."""
    return (
        f'**Not measured yet.** The long run has {len(long)} of its cohorts (`make study`), and verdicts '
        'come from cohorts alone, by the rules of [PROTOCOL.md](PROTOCOL.md).'
    )


def results_block(long, judged):
    """The declared contrasts of the long run with their verdicts, and the claims by what they concern."""
    if judged is None:
        return '\n\n'.join([so_far(long), one_cohort()])
    table, _ = long.contrasts(tuning())
    return '\n\n'.join(
        [
            f'**The declared contrasts**, over {len(long)} cohorts:',
            bullets(summarise_contrasts(table, 'population')),
            '**The claims of the paper and four controls**, by what they concern:',
            bullets(claims.summarise_claims(judged)),
        ]
    )


def one_cohort():
    """What the quick run found: one cohort, without a verdict."""
    found = json.loads(as_committed(measured() / 'quick.json').read_text())['contrast']['population']
    mean, low, high = (f'{100 * v:+.1f}' for v in found)
    return (
        'The quick run of `make all` is one cohort: mixing at matched dose and mass makes a difference of '
        f'{mean} points there [{low}, {high}] (95 %, over classifiers and test patients of this cohort).'
    )


def arms_block(long):
    """Balanced accuracy of every arm: over the cohorts, or of the quick run while there are too few."""
    if len(long) < 2:
        scores = json.loads(as_committed(measured() / 'quick.json').read_text())['scores']
        names = dict.fromkeys(name for own in scores.values() for name in own)
        cells = {test_set: [_score(own[name]) for name in names] for test_set, own in scores.items()}
        head = (
            'Balanced accuracy in per cent in the quick run, one cohort, 95 % over classifiers and patients:'
        )
        index = pd.Index([f'`{name}`' for name in names], name='arm')
        return f'{head}\n\n{table_of(pd.DataFrame(cells, index=index))}'
    cells = {
        f'balanced accuracy, {rule}': [_score_over(long, name, metrics.PRIMARY, rule) for name in long.arms]
        for rule in metrics.RULES
    }
    cells['macro AUC'] = [_score_over(long, name, 'macro_auc', '') for name in long.arms]
    index = pd.Index([f'`{name}`' for name in long.arms], name='arm')
    head = f"Per cent, mean over {len(long)} cohorts with 95 % intervals of Student's *t* over cohorts:"
    return f'{head}\n\n{table_of(pd.DataFrame(cells, index=index))}'


def _score_over(long, arm, metric, rule):
    found = long.estimate({arm: 1.0}, metric, rule)
    return _score([found[name] for name in ('mean', 'low', 'high')])


def _score(values):
    return '{:.1f} [{:.1f}, {:.1f}]'.format(*(100 * v for v in values))


def claims_block(long, judged):
    if judged is None:
        return so_far(long).replace('[PROTOCOL.md](PROTOCOL.md)', '`PROTOCOL.md`')  # it is not in the book
    return table_of(claims.overview(judged), index=False)


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
    long = cohorts()
    judged = long_run_claims(long)
    found |= {'results': results_block(long, judged), 'arms': arms_block(long)}
    found['claims'] = claims_block(long, judged)
    found['map'] = bullets(summarise_map(effect_map()))
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
    parser.add_argument('--from', dest='run', help='a finished run on real images, to keep its results')
    parser.add_argument('--real', metavar='NAME', help='what it is to be known by')
    args = parser.parse_args(argv)
    if bool(args.run) != bool(args.real):
        raise StudyError('--from and --real belong together: name the run, and what it is to be known by.')
    if args.run:
        keep_real(home() / args.run, args.real)
    found = blocks()
    texts = {
        home() / page: written(page, (home() / page).read_text(encoding='utf-8'), found) for page in PAGES
    }
    for path, text in texts.items():
        with atomic_write(path) as part:
            part.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    sys.exit(main())
