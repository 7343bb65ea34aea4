"""Keep the results of a run in `measured/`, and write the blocks of README.md and docs/ that come from it.

python -m tools.readme                            write the blocks anew
python -m tools.readme --from runs/b --real NAME  keep the results of a run on real images before, as NAME
"""

import json
import re
import sys
from functools import partial

import pandas as pd

from genmix import StudyError
from genmix.generators import PAPER
from genmix.mixing.arms import arms_for
from genmix.plots.style import displayed
from genmix.results import claims
from genmix.results.claim_parts import Sources, failing_line
from genmix.results.contrasts import mixing_at_doses
from genmix.results.effect_map import summarise_map
from genmix.results.measured import (
    as_committed,
    cohorts,
    effect_map,
    long_run_claims,
    measured,
    real_sets,
    tuning,
)
from genmix.results.verdicts import summarise_contrasts
from genmix.run.files import atomic_write
from genmix.run.study import home
from tools import cli, real_images, speed
from tools.markdown import bullets, cohort_scores, in_cell, over_cohorts, short_table, table_of

MARKS = '<!-- {}: written by tools/readme.py from measured/ -->', '<!-- end of {} -->'
# The blocks that each page must have.
PAGES = {
    'README.md': ('results',),
    'docs/results.md': ('arms', 'claims', 'map'),
    'docs/development.md': ('speed',),
    'docs/real-images.md': ('cohorts', 'real'),
}

DOSE = 'The *dose* is the synthetic share of the image mass of a batch.'


def paragraphs(parts):
    """The parts that are not empty, with a blank line between them."""
    return '\n\n'.join(filter(None, parts))


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
    return paragraphs(
        [
            DOSE,
            short_table(f'balanced accuracy [%], {len(long)} cohorts', partial(over_cohorts, long)),
            f'**The declared contrasts**, over {len(long)} cohorts:',
            bullets(summarise_contrasts(table, 'population')),
            displayed(failing_line(Sources.of_cohorts(long).failing, PAPER)),
            '**The claims of the paper and four controls**, by what they concern:',
            bullets(claims.summarise_claims(judged)),
        ]
    )


def one_cohort():
    """What the quick run found: one cohort, without a verdict."""
    found = json.loads(as_committed(measured() / 'quick.json').read_text())
    mean, low, high = (100 * v for v in found['contrast']['population'])
    scores = {arm: value for arm, (value, *_) in found['scores']['population'].items()}

    def cell_of(weights):
        return f'{100 * sum(w * scores[arm] for arm, w in weights.items()):.1f}'

    said = (
        '**So far**, in one cohort of phantoms (`make all`) and without a verdict: GenMix scores '
        f'{abs(mean):.1f} points {"higher" if mean > 0 else "lower"} than the same synthetic images unmixed '
        f'[{low:+.1f}, {high:+.1f}], averaged over four generators and the doses 1/8 and 1/2 (95 %, over '
        f'classifiers and test patients of this cohort): {at_doses(scores)}. {DOSE}'
    )
    failing = displayed(failing_line(found['failing'], PAPER))
    return paragraphs([said, short_table('balanced accuracy [%], one cohort', cell_of), failing])


def at_doses(scores):
    """What mixing adds at each dose, mean over the generators, from {arm: balanced accuracy}."""
    arms = arms_for(PAPER)
    gains = {c.name: sum(w * scores[arm] for arm, w in c.weights.items()) for c in mixing_at_doses(arms)}
    return ' and '.join(f'{100 * gain:+.1f} {name.removeprefix("mixing ")}' for name, gain in gains.items())


def arms_block(long):
    """Balanced accuracy of every arm: over the cohorts, or of the quick run while there are too few."""
    if len(long) < 2:
        scores = json.loads(as_committed(measured() / 'quick.json').read_text())['scores']
        names = dict.fromkeys(name for own in scores.values() for name in own)
        cells = {test_set: [in_cell(own[name]) for name in names] for test_set, own in scores.items()}
        head = (
            'Balanced accuracy in per cent in the quick run, one cohort, 95 % over classifiers and patients:'
        )
        index = pd.Index([f'`{name}`' for name in names], name='arm')
        return f'{head}\n\n{table_of(pd.DataFrame(cells, index=index))}'
    return cohort_scores(long)


def claims_block(long, judged):
    if judged is None:
        return so_far(long).replace('[PROTOCOL.md](PROTOCOL.md)', '`PROTOCOL.md`')  # it is not in the book
    return table_of(claims.overview(judged), index=False)


def blocks():
    """{name: text} of the blocks whose tables are in measured/."""
    found = {}
    long = cohorts()
    judged = long_run_claims(long)
    found |= {'results': results_block(long, judged), 'arms': arms_block(long)}
    found['claims'] = claims_block(long, judged)
    found['map'] = bullets(summarise_map(effect_map()))
    if list((measured() / 'real').glob('*.csv')):
        found['real'] = real_images.runs_block(measured() / 'real')
    found['cohorts'] = real_images.cohorts_block(real_sets(), tuning())
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
        real_images.keep_real(home() / args.run, args.real)
    found = blocks()
    texts = {
        home() / page: written(page, (home() / page).read_text(encoding='utf-8'), found) for page in PAGES
    }
    for path, text in texts.items():
        with atomic_write(path) as part:
            part.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    sys.exit(main())
