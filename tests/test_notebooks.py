"""The notebooks themselves, through the real Makefile, on the smoke profile."""

import json
import re

import pandas as pd
import pytest
from conftest import make, python_m

from genmix.generators import PAPER
from genmix.mixing.arms import slug
from genmix.plots.style import generator_style
from genmix.run import notebooks
from genmix.run.files import checksum
from genmix.run.log import MARK
from tools import publish

# A generator and a mixing rule of the user's own, both the project's examples.
PLUGINS = (
    'plugins=[examples/my_generator.py,examples/cutmix.py] '
    "plugin_params='{my_generator: {components: 4}, cutmix: {beta: 1.0}}'"
)
GENERATORS = (*PAPER, 'my_generator', 'oracle')
PROMISED = """
    params.yaml timings.csv cohort/images.npy cohort/manifest.csv cohort/splits.csv
    generators/dcgan/train_log.csv generators/my_generator/pca.safetensors
    synthetic/dcgan/images.npy synthetic/stylegan/images.npy synthetic/textual_inversion/images.npy
    synthetic/diffusion/images.npy synthetic/oracle/manifest.csv synthetic/my_generator/images.npy
    mixed/dcgan/manifest.csv mixed/my_generator/manifest.csv classifiers/classical/model.safetensors
    predictions/genmix-dcgan@1of8-s1-f0.csv.gz predictions/cutmix-dcgan@1of2-s1-f0.csv.gz
    results/metrics.csv results/contrasts.csv results/claims.csv results/arms.csv
    results/table.csv results/table.md results/table.tex
    audit/generator_card.csv audit/mixing/gains.csv embedding/neighbours.csv overview/lesion.csv
    figures/figure1.svg figures/figure2.gif figures/figure3.png figures/figure4.svg figures/06_card.png
    figures/01_quiz.png figures/07_simplex.svg figures/08_live.svg figures/figure4-2.svg
"""


@pytest.mark.smoke
@pytest.mark.parametrize('name', [nb.name for nb in notebooks.notebooks()])
def test_each_notebook_runs_shows_its_figures_and_warns_of_nothing(clone, name):
    done = make(clone, name, 'PROFILE=smoke', f'SET={PLUGINS}')  # those before it are executed
    assert name in started(done)
    assert not done.stderr.strip(), done.stderr
    cells = json.loads((clone / 'runs' / 'smoke' / 'notebooks' / f'{name}.ipynb').read_text())['cells']
    outputs = [o for c in cells for o in c.get('outputs', [])]
    assert not [o for o in outputs if o['output_type'] == 'error']
    errors = [''.join(o['text']) for o in outputs if o.get('name') == 'stderr']
    lines = [line for text in errors for line in text.splitlines() if not line.startswith(MARK)]
    assert lines == []  # stderr has the log, and no warning
    assert sum('image/png' in o.get('data', {}) for o in outputs) >= 3
    assert str(clone) not in json.dumps(outputs), 'a path of this machine'


@pytest.fixture(scope='module')
def finished(clone):
    """The whole chain on the smoke profile, with both plugins."""
    done = make(clone, 'all', 'PROFILE=smoke', f'SET={PLUGINS}')
    assert done.returncode == 0, done.stdout + done.stderr
    return clone, done


def files(folder):
    return {
        p.relative_to(folder).as_posix(): p.stat().st_mtime_ns
        for p in folder.rglob('*')
        if p.is_file() and p.suffix != '.lock' and p.name != '.checksums.json'
    }


def started(done):
    """Names of the notebooks that a successful command executed."""
    assert done.returncode == 0, done.stdout + done.stderr
    return re.findall(rf'{MARK} (\w+) starts', done.stdout)


@pytest.mark.smoke
def test_the_chain_leaves_what_it_promises(finished):
    clone, done = finished
    run = clone / 'runs' / 'smoke'
    assert [name for name in PROMISED.split() if not (run / name).exists()] == []
    assert 'runs/smoke is complete' in done.stdout
    assert not done.stderr.strip(), done.stderr


@pytest.mark.smoke
def test_a_generator_and_a_rule_in_a_file_each_take_part_everywhere(finished):
    run = finished[0] / 'runs' / 'smoke'
    metrics = pd.read_csv(run / 'results' / 'metrics.csv', keep_default_na=False)
    plain = {'none', 'classical', 'oversample', 'mixup', 'oversample-mixup', 'genmix-diffusion-offline'}
    forms, doses = ('', 'genmix-', 'cutmix-'), ('1/8', '1/2')
    made = {f'{form}{g}@{dose}' for form in forms for g in GENERATORS for dose in doses}
    assert set(metrics.arm) == plain | made - {'genmix-oracle@1/2', 'cutmix-oracle@1/2'}
    for arm, kind in (('genmix-my_generator@1/2', 'genmix'), ('cutmix-my_generator@1/2', 'cutmix')):
        own = metrics[metrics.arm == arm]
        assert set(own.generator) == {'my_generator'} and set(own.kind) == {kind} and set(own.dose) == {0.5}
    assert set(metrics.test_set) == {'holdout', 'population'}
    about = json.loads((run / 'predictions' / 'provenance.json').read_text())['params']
    assert set(about['arms']) == set(metrics.arm) and about['arms']['cutmix-dcgan@1/8']['rule'] == 'cutmix'
    assert set(about['trials']) == {f'{slug(arm)}-s{seed}-f0' for arm in about['arms'] for seed in (0, 1)}
    assert set(about['batches']) == {'mixed_share', 'pairing', 'mixup_off'}


@pytest.mark.smoke
def test_the_declared_contrasts_are_of_the_four_generators_of_the_paper(finished):
    """Plugins are compared as well, among the exploratory pairs; one cohort has no verdicts."""
    run = finished[0] / 'runs' / 'smoke'
    contrasts = pd.read_csv(run / 'results' / 'contrasts.csv', keep_default_na=False)
    declared, explored = contrasts[contrasts.gate > 0], contrasts[contrasts.gate == 0]
    mixing = declared[declared.contrast == 'mixing at matched dose and mass']
    names = [f'{g}@{q}' for g in PAPER for q in ('1/8', '1/2')]
    assert set(mixing.a) == {f'mean of {" ".join(f"genmix-{name}" for name in names)}'}
    assert set(mixing.b) == {f'mean of {" ".join(names)}'} and set(mixing.rule) == {'prior', 'argmax', ''}
    assert set(contrasts.test_set) == {'holdout', 'population'} and set(contrasts.verdict) == {''}
    assert not (declared.a + declared.b).str.contains('my_generator|cutmix|oracle').any()
    pairs = {*zip(explored.a, explored.b)}
    assert {
        ('genmix-my_generator@1/8', 'my_generator@1/8'),
        ('cutmix-dcgan@1/8', 'genmix-dcgan@1/8'),
    } <= pairs
    parts = pd.read_csv(run / 'results' / 'claims.csv').part
    assert parts.str.contains('genmix-dcgan').any()
    assert not parts.str.contains('my_generator|cutmix').any()


@pytest.mark.smoke
def test_the_best_generator_by_its_card_illustrates_and_phantoms_are_called_so(finished):
    run = finished[0] / 'runs' / 'smoke'
    card = pd.read_csv(run / 'audit' / 'generator_card.csv').query('metric == "tstr" and label == "all"')
    own = card[card.generator != 'oracle'].set_index('generator').value
    cells = json.loads((run / 'notebooks' / '07_genmix.ipynb').read_text())['cells']
    text = json.dumps([c.get('outputs', []) for c in cells], ensure_ascii=False)
    assert f'shown below: {generator_style(own.idxmax()).name}, the best by TSTR' in text
    described = [
        o['data']['text/plain']
        for c in cells
        for o in c.get('outputs', [])
        if 'image/png' in o.get('data', {})
    ]
    figure3 = next(alt for alt in map(''.join, described) if alt.startswith('A grid of example lesions'))
    assert 'rows phantom, ' in figure3


@pytest.mark.smoke
def test_no_test_patient_is_seen(finished):
    run = finished[0] / 'runs' / 'smoke'
    splits = pd.read_csv(run / 'cohort' / 'splits.csv')
    seen = splits[splits.fold0 == 'train']
    for name in GENERATORS:
        assert set(pd.read_csv(run / 'mixed' / name / 'manifest.csv').real) <= set(seen.id)
    p = pd.read_csv(run / 'predictions' / 'dcgan@1of8-s0-f0.csv.gz')
    held = p[p.test_set == 'holdout']
    assert len(held) and not set(held.patient) & set(seen.patient) and not set(p.id) & set(seen.id)


@pytest.mark.smoke
def test_twice_does_nothing_and_prose_costs_no_training(finished):
    clone, _ = finished
    run = clone / 'runs' / 'smoke'
    before = files(run)
    assert started(make(clone, 'all', 'PROFILE=smoke')) == [] and files(run) == before
    source = notebooks.Notebook(clone / 'notebooks' / '02_dcgan.ipynb')
    source.content['cells'][0]['source'] += ['\n', 'One more sentence.']
    source.path.write_text(json.dumps(source.content))
    edited = make(clone, 'all', 'PROFILE=smoke')
    assert started(edited) == ['02_dcgan'] and 'made in' not in edited.stdout
    stages = ('generators/', 'synthetic/', 'predictions/', 'results/', 'cohort/')
    now = files(run)
    assert [n for n in before if n.startswith(stages) and now[n] != before[n]] == []


@pytest.mark.smoke
def test_a_published_run_leaves_nothing_to_do(finished):
    clone, _ = finished
    run, command = clone / 'runs' / 'smoke', ('tools.publish', '--run', 'smoke')

    def sources():
        return {p.name: p.read_bytes() for p in (clone / 'notebooks').iterdir()}

    untouched, refused = sources(), python_m(clone, *command)
    assert refused.returncode == 1 and 'profile smoke' in refused.stderr and sources() == untouched
    before = files(run)
    done = python_m(clone, *command, '--any')
    assert done.returncode == 0, done.stdout + done.stderr
    for nb in notebooks.notebooks(clone / 'notebooks'):
        assert nb.path.stat().st_size < publish.LIMIT
        assert nb.content['metadata']['genmix']['published'] == publish.stamp(nb.content)
        text = nb.path.read_text()
        assert MARK not in text and 'papermill' not in json.dumps(nb.content['metadata'])
        assert text.count('"image/png": "') >= 3
    assert started(make(clone, 'all', 'PROFILE=smoke')) == [] and files(run) == before


@pytest.mark.smoke
def test_another_set_is_refused_and_a_bad_one_is_named(finished):
    clone, _ = finished
    for words, message in (
        (['SET=alpha=0.9'], 'RUN=name'),
        (['RUN=other', 'SET=alhpa=0.9'], 'did you mean "alpha"'),
        (['RUN=other', 'SET=alpha=high'], 'alpha takes float'),
        (['RUN=other', 'SET=alpha=0'], 'alpha is 0'),
        (['RUN=other', 'SET=arms=[genmix]'], 'no arm "genmix"'),
        (['RUN=other', 'SET=generators=[vae]'], 'no generator "vae"'),
        (['RUN=other4', 'SET=dataset=folder data_dir=nowhere'], 'nowhere'),
    ):
        refused = make(clone, '08_classification', 'PROFILE=smoke', *words)
        assert refused.returncode != 0
        lines = [line for line in refused.stderr.splitlines() if not line.startswith('make')]
        assert len(lines) == 1 and message in lines[0], refused.stderr


@pytest.mark.smoke
def test_a_notebook_without_make(finished):
    """Named by hand, a notebook is executed on what is cached, and leaves nothing for make to do."""
    clone, _ = finished
    stages = files(clone / 'runs' / 'smoke' / 'mixed')
    (clone / 'runs' / 'smoke' / 'notebooks' / '07_genmix.ipynb').unlink()
    again = python_m(clone, 'genmix', '07_genmix', '--params', 'params/smoke.yaml', '--run', 'smoke')
    assert started(again) == ['07_genmix'] and 'mixed/dcgan: cached' in again.stdout
    assert files(clone / 'runs' / 'smoke' / 'mixed') == stages
    assert started(make(clone, 'all', 'PROFILE=smoke')) == []


@pytest.mark.smoke
def test_a_deleted_prediction_is_made_again_and_no_other(finished):
    clone, _ = finished
    folder = clone / 'runs' / 'smoke' / 'predictions'
    before, lost = files(folder), folder / 'cutmix-dcgan@1of2-s1-f0.csv.gz'
    same = lost.read_bytes()
    lost.unlink()
    again = make(clone, 'all', 'PROFILE=smoke')
    assert started(again) == ['08_classification']
    assert lost.read_bytes() == same and f'{lost.name} is gone' in again.stdout
    now = files(folder)
    assert {n for n in before if n.endswith('.gz') and now[n] != before[n]} == {lost.name}


@pytest.mark.smoke
@pytest.mark.long
def test_what_is_damaged_is_named_and_its_notebook_makes_it_again(finished):
    """By make, of a run of which every notebook is executed: one bit of a file each of four notebooks."""
    run = finished[0] / 'runs' / 'smoke'
    before = files(run)
    damaged = {
        'cohort/images.npy': '01_data',
        'synthetic/dcgan/manifest.csv': '02_dcgan',
        'generators/diffusion/config.json': '05_diffusion',
        'classifiers/mixup/model.safetensors': '08_classification',
        'results/metrics.csv': '09_results',
    }
    content = {file: (run / file).read_bytes() for file in damaged}
    for file, whole in content.items():
        (run / file).write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
    about = run / 'predictions' / 'mixup-s0-f0.json'
    about.write_text(about.read_text().replace('mass', 'maxx', 1))
    again = make(finished[0], 'all', 'PROFILE=smoke')
    assert f'{about.name} is gone or not as it was written' in again.stdout and 'mass' in about.read_text()
    assert set(started(again)) >= {*damaged.values()}  # and 06 to 10: the log of a training has its speed
    for file, notebook in damaged.items():
        assert f'{file} is gone or not as it was written: {notebook} makes it again' in again.stdout
        assert (run / file).read_bytes() == content[file], file
    assert files(run).keys() == before.keys()


def results_page(run):
    """What 09_results says: (row of genmix-dcgan@1/8 in the table, contrasts, claims, a contrast)."""
    cells = json.loads((run / 'notebooks' / '09_results.ipynb').read_text())['cells']
    code = [c for c in cells if c['cell_type'] == 'code']
    text = {
        c['id']: ''.join(''.join(o['data'].get('text/markdown', '')) for o in c['outputs'] if 'data' in o)
        for c in code
    }
    table = (run / 'results' / 'table.md').read_text().splitlines()
    row = next(line for line in table if line.startswith('| genmix-dcgan@1/8 '))
    mixing = re.search(r'\| mixing, DCGAN .*', text['declared-table'])[0]
    return row, pd.read_csv(run / 'results' / 'contrasts.csv'), text['claims-table'], mixing


@pytest.mark.smoke
def test_one_prediction_file_changes_table_and_prose_alike(finished):
    """One arm is made to look perfect in one file of predictions: numbers and tables follow."""
    run = finished[0] / 'runs' / 'smoke'
    row, contrasts, claims, mixing = results_page(run)
    file = run / 'predictions' / 'genmix-dcgan@1of8-s0-f0.csv.gz'
    p = pd.read_csv(file, dtype={'id': str})
    for k, name in enumerate(c for c in p if c.startswith('p_')):
        p[name] = (p.label == k).astype(float)
    about = file.with_name('genmix-dcgan@1of8-s0-f0.json')
    before = checksum(file), checksum(about)
    p.to_csv(file, index=False)
    for place in (about, file.with_name('provenance.json')):
        place.write_text(place.read_text().replace(before[0], checksum(file)))
    sums = run / 'predictions' / 'about' / 'provenance.json'
    sums.write_text(sums.read_text().replace(before[1], checksum(about)))
    (run / 'notebooks' / '09_results.ipynb').unlink()
    assert started(make(finished[0], '09_results', 'PROFILE=smoke')) == ['09_results']
    row_now, contrasts_now, claims_now, mixing_now = results_page(run)
    assert row != row_now and mixing != mixing_now and claims != claims_now

    def gain(t):
        own = t[(t.contrast == 'mixing, dcgan') & (t.rule == 'prior') & (t.test_set == 'population')]
        return own['mean'].item()

    assert gain(contrasts_now) > gain(contrasts) + 0.05  # of two doses, two seeds
    assert f'{100 * gain(contrasts_now):+.1f} [' in mixing_now
