import json
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from conftest import python_m

from genmix.appendix import controls, controls_plan, controls_summary, regime
from genmix.appendix.controls_plan import FILMED, Control, planned
from genmix.appendix.controls_summary import COLUMNS, RATIOS, STUDY, Measured
from genmix.audit import heldout
from genmix.generators.latent.known_words import MEASURED, WRITTEN
from genmix.generators.latent.textual_inversion import TextualInversion

TOKENS = {'initialiser': ['', 'measured'], 'prompt': [MEASURED, WRITTEN]}
TOKENS |= {'nps_correction': [False], 'guidance': [1.0, 3.0]}
CHOICES = {'textual_inversion': TOKENS, 'diffusion': {'scratch': [True], 'sampling_steps': [4, 6]}}


@pytest.fixture
def plan():
    return planned('cpu', 3000, ['natural', 'mixed'], CHOICES)


def of(plan, **about):
    return [c for c in plan if all(getattr(c, k) == v for k, v in about.items())]


def test_one_parameter_at_a_time_around_the_study(plan):
    own = {c.generator: c for c in reversed(of(plan, question=STUDY))}
    assert own.keys() == controls_plan.GENERATORS.keys()
    assert len({c.name for c in plan}) == len(plan)  # stages of their own
    for c in plan:
        before, now = (vars(x.config('cpu')) for x in (own[c.generator], c))
        differ = {name for name in before if before[name] != now[name]}
        expected = {'base'} if c.base != own[c.generator].base else set()
        assert differ == expected | set(c.training), c.name
        assert len(c.training | c.sampling) == (c.question != STUDY)


def test_values_of_the_study_are_left_out_and_sets_of_one_training_share_it(plan):
    config = Control(generator='textual_inversion').config('cpu')
    tokens = of(plan, generator='textual_inversion', base=config.base)
    settings = {(c.question, c.setting) for c in tokens}
    for question, values in TOKENS.items():
        for value in values:
            left_out = question != 'prompt' and getattr(config, question) == value
            assert ((question, str(value)) not in settings) == left_out
    sampled = [c for c in tokens if c.sampling]
    assert len(sampled) >= 4 and {c.trained for c in sampled} == {of(tokens, question=STUDY)[0].trained}
    (other,) = {c.base for c in of(plan, generator='textual_inversion')} - {config.base}
    varied = {c.question for c in of(plan, generator='textual_inversion', base=other)}
    assert varied <= {STUDY, *controls_plan.ON_EVERY_BASE['textual_inversion']} and 'prompt' in varied


def test_a_parameter_that_the_generator_lacks_is_left_out():
    known = {f.name for f in fields(TextualInversion.Config)}
    base = Control(generator='textual_inversion').config('cpu').base
    choices = {'per_layer': [False, True], 'no_such_parameter': [1]}
    found = controls_plan.around_study('textual_inversion', 'cpu', base, choices)
    assert [c.question for c in found] == [STUDY] + ['per_layer'] * ('per_layer' in known)


def test_the_lesions_are_dev_phantoms_that_nothing_else_draws(study):
    others = {*heldout.AUDIT_SEEDS.values(), heldout.MIXING_SEED, regime.TEST_SEED, regime.ORACLE_SEED}
    seeds = set(controls.SEEDS.values())
    assert len(seeds) == len(controls.SEEDS) and not seeds & others and min(seeds) > 100  # 0, 1, 2: A2, A3
    for name in controls.SEEDS:
        controls.draw_lesions(study.run, study.home, name, (20, 8, 14), 'smoke')
    drawn = [controls.Cohort.load(study.folder / 'lesions' / name) for name in controls.SEEDS]
    assert all(p.startswith('dev') for c in drawn for p in c.patients)
    assert len({p for c in drawn for p in c.patients}) == sum(len(set(c.patients)) for c in drawn)
    train = controls.training_split(study, 'smoke')
    assert 0 < len(train) < 42 and set(train.patients) <= set(drawn[0].patients)


class Recorder:
    """A model that notes how it is asked to sample."""

    notebook = '04_textual_inversion'

    def __init__(self, pipeline=None):
        self.pipeline, self.asked = pipeline, []

    def sample(self, label, n, seed, **changes):
        self.asked.append(changes)
        return np.zeros((n, 8, 8), np.uint8)


def test_a_set_is_sampled_as_its_control_says(cohort):
    from genmix.generators.latent.frozen_pipeline import open_pipeline

    model = Recorder(open_pipeline('natural', None))

    def asked(label, **sampling):
        control = Control(generator='textual_inversion', sampling=sampling)
        controls.Resampled(model, control, cohort, 'cpu').sample(label, 2, 0)
        return model.asked.pop()

    assert asked(0) == {} and asked(0, guidance=2.0) == {'guidance': 2.0}
    assert asked(1, sampling_steps=4) == {'steps': 4}  # the name that `sample` has for it
    prompts = [asked(label, prompt=MEASURED) for label in range(3)]
    assert all(p['nps_correction'] is False and '{' not in p['prompt'] for p in prompts)
    assert len({p['prompt'] for p in prompts}) > 1  # a dark and a bright disc are described by other words


def scores(rows):
    """scores.csv from {(generator, base, question, setting): {metric: (score, low, high)}}; reference .8."""
    found = []
    for (generator, base, question, setting), metrics in rows.items():
        about = {'set': controls_plan.slug(generator, base, question, setting), 'generator': generator}
        about |= {'base': base, 'question': question, 'setting': setting, 'steps': 9, 'label': 'all'}
        for metric in RATIOS:
            score, low, high = metrics.get(metric, (0.4, 0.3, 0.5))
            found.append(about | {'metric': metric, 'score': score, 'low': low, 'high': high, 'n': 20})
    return pd.DataFrame(found).assign(reference=0.8)[COLUMNS]


TABLE = scores(
    {
        ('textual_inversion', 'mixed', STUDY, ''): {},
        ('textual_inversion', 'mixed', 'guidance', '1.0'): {'coverage': (0.2, 0.1, 0.29)},
        ('textual_inversion', 'mixed', 'nps_correction', 'False'): {'tstr': (0.16, 0.1, 0.2)},
        ('textual_inversion', 'mixed', 'prompt', WRITTEN): {'tstr': (0.24, 0.21, 0.3)},
        ('textual_inversion', 'natural', STUDY, ''): {'diversity': (0.8, 0.7, 0.9)},
    }
)


def test_sentences_name_what_differs_and_from_what():
    lines = controls_summary.summarise(TABLE, 'textual_inversion')
    own = '(against "mixed: as in the study")'
    assert lines[0] == f'mixed: guidance = 1.0: coverage lower, 0.25 of real against 0.50 {own}'
    assert lines[2] == (
        'mixed: prompt = written caption: TSTR higher, 0.30 of real against 0.20 '
        '(against "mixed: nps_correction = False")'
    )
    assert lines[3] == f'natural: as in the study: diversity higher, 1.00 of real against 0.50 {own}'
    assert len(lines) == 4
    same = TABLE.assign(low=0.0, high=1.0)
    assert all('no score differs' in line for line in controls_summary.summarise(same, 'textual_inversion'))
    few = controls_summary.summarise(TABLE, 'textual_inversion', ['guidance'])
    assert few == lines[:1]


def test_a_longer_training_is_named_by_its_steps():
    rows = {('dcgan', '', STUDY, ''): {}, ('dcgan', '', 'steps', '30'): {'tstr': (0.2, 0.1, 0.25)}}
    table = scores(rows)
    table.loc[table.question == 'steps', 'steps'] = 30
    assert controls_summary.summarise(table, 'dcgan') == [
        '30 steps: TSTR lower, 0.25 of real against 0.50 (against "as in the study")'
    ]


def measured(table=TABLE):
    training = pd.DataFrame({'set': ['a', 'b'], 'step': [1, 2], 'kid': [0.5, np.nan], 'loss': [np.nan, 2.0]})
    noise = np.random.default_rng(0).integers(0, 256, (3, 5, 8, 8), dtype=np.uint8)
    images = {'real': noise, 'a': noise[::-1], 'film_steps': np.array([5, 1000])}
    images['film'] = np.stack([noise[:, :2], noise[:, 2:4]])
    about = {'class_names': ['x', 'y', 'z'], 'training_lesions': 30, 'per_class': 20}
    return Measured(table, training, images, about)


def test_what_is_written_is_read_again(tmp_path):
    assert controls_summary.read(tmp_path) is None and 'make controls' in controls_summary.source(None)
    controls_summary.write(measured(), tmp_path)
    found = controls_summary.read(tmp_path)
    pd.testing.assert_frame_equal(found.scores, TABLE, check_dtype=False)
    assert list(found.curves('a')) == ['set', 'step', 'kid'] and list(found.curves('b'))[-1] == 'loss'
    assert found.sets('textual_inversion') == {
        b: f'textual_inversion-{b}-study' for b in ('mixed', 'natural')
    }
    before, now = (x.images['real'].astype(int) for x in (measured(), found))
    assert np.abs(before - now).max() <= 2 and len(np.unique(now)) <= controls_summary.LEVELS
    assert {0, 255} <= set(now.ravel()) and len(found.scores) == len(TABLE)
    film, classes, steps = found.film()
    assert steps == [5, 1000] and list(classes) == ['x', 'y', 'z']
    assert np.array_equal(film[1, 1, 1], found.images['real'][1, 3])  # the second image of the second class
    images, rows = found.grid({'phantoms': 'real', 'a': 'a'})
    assert rows[:3] == ['x, phantoms', 'x, a', 'y, phantoms'] and np.array_equal(
        images[1], found.images['a'][0]
    )
    assert '30 training lesions, 20 images per class' in controls_summary.source(found)


def test_date_and_commit_are_those_of_the_measurement(tmp_path):
    controls_summary.write(measured(), tmp_path)
    about = tmp_path / 'about.json'
    about.write_text(json.dumps(json.loads(about.read_text()) | {'date': '2000-01-01', 'commit': 'abc'}))
    controls_summary.write(measured(), tmp_path)
    assert '2000-01-01, commit abc' in controls_summary.source(controls_summary.read(tmp_path))
    controls_summary.write(measured(TABLE.assign(n=21)), tmp_path)
    assert '2000-01-01' not in controls_summary.source(controls_summary.read(tmp_path))


@pytest.mark.smoke
@pytest.mark.long
def test_the_controls_are_measured_and_the_notebooks_show_them(clone):
    """A4 on the smoke profile; 02, 04 and 05 before it print one line, and after it they show its results."""

    def run(*names):
        done = python_m(clone, 'genmix', *names, '--params', 'params/smoke.yaml', '--run', 'smoke')
        assert done.returncode == 0, done.stdout + done.stderr

    def outputs(name):
        text = (clone / 'runs' / 'smoke' / 'notebooks' / f'{name}.ipynb').read_text()
        return json.dumps([c.get('outputs') for c in json.loads(text)['cells']])

    generators = '02_dcgan', '04_textual_inversion', '05_diffusion'
    folder = clone / 'measured' / 'controls'
    if folder.exists():
        folder.rename(clone / 'elsewhere')
    run('01_data', *generators)
    assert all(controls_summary.MISSING in outputs(name) for name in generators)
    run('A4_generator_controls')
    written = clone / 'runs' / 'smoke' / 'measured'
    found = controls_summary.read(written)
    metrics = found.scores[found.scores.label == 'all'].pivot(index='set', columns='metric', values='score')
    assert set(RATIOS) <= set(metrics) and metrics[RATIOS].notna().all(axis=None)
    questions = set(found.scores.question)
    assert {FILMED, 'scratch', 'prompt', 'strength', 'per_layer', 'guidance'} <= questions
    assert {b for b in found.scores.base if b} == {'natural', 'mixed'}
    assert (written / 'images.npz').stat().st_size < 400_000
    written.rename(folder)
    run(*generators)
    for name, figure in zip(generators, ('02_film', '04_prompts', '05_kid')):
        assert 'Measured on dev phantoms' in outputs(name), name
        assert (clone / 'runs' / 'smoke' / 'figures' / f'{figure}.svg').exists()
