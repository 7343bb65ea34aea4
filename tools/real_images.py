"""Real images on the pages: what is kept of a run on them, and the blocks of docs/real-images.md."""

import json
from pathlib import Path

import yaml

from genmix import StudyError
from genmix.data.build import FILES
from genmix.data.cohort import read_rows
from genmix.results.measured import as_committed, measured
from genmix.results.real_sets import rule_in_words, summarise_real
from genmix.results.verdicts import primary
from genmix.run.files import atomic_write
from genmix.run.settings import as_set
from tools import checksums
from tools.markdown import bullets, cohort_scores, scores_table

NUMBERS = 'mean', 'low', 'high', 'minimum_detectable_effect'


def keep_real(run, name):
    """Keep the scores of a finished run on real images as measured/real/<name>.csv.

    Beside them, <name>.json says how it was asked for, without paths of this machine, and what was found.
    """
    results, card = run / 'results', run / 'audit' / 'generator_card.csv'
    if not (results / 'arms.csv').exists():
        raise StudyError(f'{run.name} has no results: finish it with `make all RUN={run.name}`.')
    asked = yaml.safe_load((run / 'params.yaml').read_text())['set']
    for key in asked.keys() & set(FILES):
        asked[key] = Path('/path/to') / Path(asked[key]).name
    about = {
        'asked': ' '.join(f'{key}={value}' for key, value in asked.items()),
        'caption': (results / 'table.md').read_text().strip().splitlines()[-1],
        'contrast': first_contrast(read_rows(results / 'contrasts.csv'), 'holdout'),
        'sets': nearness(read_rows(card)) if card.exists() else '',
    }
    texts = {'csv': (results / 'arms.csv').read_text(), 'json': json.dumps(about, indent=1)}
    for suffix, text in texts.items():
        with atomic_write(measured() / 'real' / f'{name}.{suffix}') as part:
            part.write_text(text)
    checksums.note(measured(), f'real/{name}.csv', f'real/{name}.json')


def first_contrast(table, test_set):
    """The first contrast of a table of contrasts, on its primary outcome: its name and numbers."""
    row = primary(table[table.test_set == test_set]).iloc[0]
    numbers = {name: round(float(row[name]), 4) for name in NUMBERS}
    return {'name': row.contrast, **numbers, 'n': int(row.n)}


def without_information(found):
    """What one cohort says of a contrast of `first_contrast`: its interval, and that it decides nothing."""
    mean, low, high, detectable = (100 * found[name] for name in NUMBERS)
    name = found['name'][0].upper() + found['name'][1:]
    return (
        f'{name}: {mean:+.1f} points [{low:+.1f}, {high:+.1f}] ({found["n"]} runs of one cohort, holdout): '
        'no information, since even for this split and these generators a true difference is found with a '
        f'power of 80 % only from {detectable:.1f} points on'
    )


def nearness(card):
    """How near the synthetic sets of a generator card come to real images, in words."""
    rows = card[(card.label == 'all') & card.metric.isin(['kid', 'coverage'])]
    sets = rows.pivot(index='generator', columns='metric', values='value').itertuples()
    each = (f'{row.Index} {row.kid:.1f} and {row.coverage:.2f}' for row in sets)
    return 'KID (0 is best) and coverage of the synthetic sets: ' + ', '.join(each)


def runs_block(folder):
    """Balanced accuracy of each arm on each set of real images, and how each run was asked for."""
    scores, said = {}, []
    for path in sorted(folder.glob('*.csv')):
        scores[path.stem] = read_rows(as_committed(path)).query('test_set == "holdout"')
        about = json.loads(as_committed(path.with_suffix('.json')).read_text())
        found = without_information(about['contrast'])
        sentences = '. '.join(filter(None, (found, about['sets'], about['caption'])))
        command = f'make all RUN={path.stem.lower()} SET="{about["asked"]}"'
        said.append(f'**{path.stem}**: `{command}`. {sentences}')
    head = 'Balanced accuracy on the hold-out in per cent:'
    return '\n\n'.join([head, scores_table(scores), bullets(said)])


def cohorts_block(sets, tuning):
    """What the cohorts of each divided set found: how they were made, contrasts without verdicts, arms."""
    if not sets:
        return '**Not measured yet.** No set of real images has been divided (`make study-real`).'
    return '\n\n'.join(part for name, found in sets.items() for part in one_set(name, *found, tuning))


def one_set(name, about, long, tuning):
    """Paragraphs on the cohorts of one set."""
    asked = as_set(about['asked'].items())
    parts, tested = about['division'], ', '.join(f'{n} {label}' for label, n in about['population'].items())
    numbers = f'COHORTS={parts["cohorts"]} IMAGES={parts["images"]}'
    yield (
        f'**{name}**: `make study-real RUN={name} {numbers} SET="{asked} data_dir=/path/to/images"`. '
        f'{len(long)} of {parts["cohorts"]} cohorts are finished, all tested on the same images: {tested}. '
        f'{rule_in_words(about)} Data: {about["source"]}.'
    )
    if len(long) > 1:
        yield bullets(summarise_real(long, tuning))
        yield cohort_scores(long)
