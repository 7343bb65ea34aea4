"""The long run: which cohorts, what they are asked, what is made and kept."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import ROOT, make
from test_compact import NAMES, about, population
from test_contrasts import TUNING
from test_protocol import UNFILLED, filled

from genmix import StudyError
from genmix.appendix import long_run
from genmix.appendix.long_run import Plan, confirmatory_plan, seeds_of
from genmix.generators import PAPER
from genmix.mixing.arms import arms_for, choose
from genmix.results import calibration, compact, measured, metrics
from genmix.results.cohorts import Cohorts
from genmix.run.settings import split_set
from tools import study as command


@pytest.mark.parametrize(
    'text, seeds',
    [
        ('24', range(100, 124)),
        ('100-111', range(100, 112)),
        ('103', [103]),
        ('9000-9001, 9005', [9000, 9001, 9005]),
        ('101,100-102', [101, 100, 102]),
    ],
)
def test_cohorts_are_counted_or_named(text, seeds):
    assert seeds_of(text) == list(seeds)


@pytest.mark.parametrize('text', ['', '0', 'all', '5-9', '-3', '100-', '105-101'])
def test_other_words_are_refused(text):
    with pytest.raises(StudyError, match='COHORTS is'):
        seeds_of(text)


@pytest.fixture
def here(project, monkeypatch):
    """A project folder with a protocol, in which commands run."""
    (project / 'PROTOCOL.md').write_text(UNFILLED)
    (project / 'measured').mkdir()
    monkeypatch.chdir(project)
    return project


def settle(folder, steps=350):
    """Fill in the tuned settings."""
    TUNING.to_csv(folder / 'measured' / 'tuning.csv', index=False)
    (folder / 'PROTOCOL.md').write_text(filled(TUNING, steps))


def test_no_cohort_of_the_protocol_is_drawn_while_settings_are_open(here, capsys):
    assert command.main(['--cohorts', '100']) == 1
    said = capsys.readouterr().err
    assert 'The section "Tuned settings" of PROTOCOL.md is not filled in' in said and said.count('\n') == 1
    assert not (here / 'runs').exists()
    settle(here)
    assert command.plan_for([100], 'cpu', '').tuned
    for profile, extra in (('smoke', ''), ('cpu', 'alpha=1')):
        with pytest.raises(StudyError, match='are drawn as PROTOCOL.md says'):
            command.plan_for([100], profile, extra)
    with pytest.raises(StudyError, match='are two runs'):
        command.plan_for([100, 9000], 'cpu', '')
    assert command.plan_for([9000], 'smoke', 'alpha=1').asked(9000).endswith('arms=[all] alpha=1')


def test_a_cohort_is_asked_what_the_protocol_says():
    plan = confirmatory_plan(filled(TUNING, 350), TUNING)
    # the tuned arms alone and without a generator are those of the factorial
    assert plan.tuned == tuple(f'genmix-{g}@1/2-1000' for g in PAPER) and plan.lengths == (1000,)
    asked = dict(split_set(plan.asked(103)))
    assert (asked['seed'], asked['seeds'], asked['08_classification.steps']) == ('103', '1', '350')
    names = asked['arms'].strip('[]').split(',')
    chosen = choose(names, arms_for([*PAPER, 'oracle'], lengths=plan.lengths))
    assert len(chosen) == 5 + 5 * 7 + 4 and sum(arm.steps == 1000 for arm in chosen) == 4
    longer = confirmatory_plan(filled(TUNING, 1000), TUNING)
    assert longer.steps == 1000 and set(longer.tuned) == {f'{g}@1/8-350' for g in PAPER} | {'classical-350'}


def packed(seed, plan):
    """A small cohort file as a run of that plan leaves it."""
    arms = {n: a for n, a in arms_for().items()}
    table = metrics.reweigh(population(arms, n=60), pd.Series([676, 130, 484]))
    cohort = compact.pack(calibration.scale(table, NAMES), about(arms))
    asked = command.asked_of(plan, seed)
    cohort.about.update({'cohort': seed, 'params': {'set': asked, 'profile': plan.profile}})
    return cohort


@pytest.fixture
def made(monkeypatch):
    """Seeds that were made: the chain of notebooks is replaced by its file; cohort 102 fails at first."""
    seen, broken = [], {102}

    def finish(seed, home, plan, cores=1, keep=False):
        seen.append(seed)
        if seed in broken:
            broken.discard(seed)
            return seed, 'error: 02_dcgan, cell 3: no space left'
        packed(seed, plan).save(plan.folder(home, seed) / f'cohort-{seed}.npz')
        return seed, ''

    monkeypatch.setattr(long_run, 'finish', finish)
    return seen


def test_only_what_is_missing_is_made_and_one_failure_stops_no_other(here, made, capsys):
    settle(here)
    assert command.main(['--cohorts', '100-103', '--workers', '1']) == 1
    assert '1 of 4 cohorts are not finished; cohort 102: 02_dcgan, cell 3' in capsys.readouterr().err
    assert made == [100, 101, 102, 103]
    sums = measured.checksums(here / 'measured')
    assert set(sums) == {f'study/cohort-{s}.npz' for s in (100, 101, 103)}
    assert command.main(['--cohorts', '100-104', '--workers', '1']) == 0 and made[4:] == [102, 104]
    assert command.main(['--cohorts', '100-104']) == 0 and len(made) == 6
    assert len(measured.cohorts()) == 5
    path = here / 'measured' / 'study' / 'cohort-101.npz'
    path.write_bytes(path.read_bytes()[:-1] + b'x')
    assert command.main(['--cohorts', '100-104']) == 1
    assert 'cohort-101.npz is not as it was measured' in capsys.readouterr().err
    path.unlink()
    assert command.main(['--cohorts', '100-104']) == 0 and made[6:] == [101]


def test_a_file_from_another_machine_is_taken_as_it_is(here, made):
    settle(here)
    plan = command.plan_for([100], 'cpu', '')
    packed(100, plan).save(here / 'measured' / 'study' / 'cohort-100.npz')
    assert command.main(['--cohorts', '2']) == 0 and made == [101]
    assert set(measured.checksums(here / 'measured')) == {'study/cohort-100.npz', 'study/cohort-101.npz'}


def test_cohorts_of_another_plan_are_refused(here, made, capsys):
    settle(here)
    assert command.main(['--cohorts', '1']) == 0
    settle(here, steps=1000)
    assert command.main(['--cohorts', '1']) == 1
    assert 'cohort-100.npz was made with another 08_classification.steps' in capsys.readouterr().err
    one, other = packed(100, Plan()), packed(101, Plan())
    for cohort, alpha in ((one, 0.4), (other, 0.2)):
        cohort.about['params']['notebooks'] = {'08_classification': {'alpha': alpha, 'seed': 100}}
    with pytest.raises(StudyError, match='100 and 101 differ in 08_classification.alpha'):
        Cohorts([one, other]).made_alike()
    assert len(Cohorts([one, one]).made_alike()) == 2


def test_dev_cohorts_are_no_part_of_the_long_run(here, made):
    assert command.main(['--cohorts', '9000', '--profile', 'smoke', '--set', 'generators=[dcgan]']) == 0
    assert (here / 'runs' / 'cohorts-smoke' / 'cohort-9000.npz').exists()
    assert len(measured.cohorts()) == 0 and measured.checksums(here / 'measured') == {}


def test_what_make_says_is_logged_and_its_error_comes_back(study, monkeypatch):
    script = (
        'print("▸ 01_data starts"); print("noise"); print("error: 01_data, cell 2: x"); raise SystemExit(2)'
    )
    real = long_run.subprocess.Popen

    def popen(command, **how):
        assert command[:4] == ['make', '--no-print-directory', *long_run.GOALS]
        assert {'CORES=2', 'RUN=test', 'SET=seed=9000'} <= set(command) and how['env'][
            'LOKY_MAX_CPU_COUNT'
        ] == '2'
        assert not {*long_run.INHERITED} & set(how['env'])
        return real([command[4].removeprefix('PY='), '-c', script], **how)

    monkeypatch.setenv('MAKEFLAGS', 'j')
    monkeypatch.setattr(long_run, 'subprocess', SimpleNamespace(Popen=popen, PIPE=-1, STDOUT=-2))
    assert long_run.chain(study, 'seed=9000', 'smoke', 2, 'cohort 9000') == 'error: 01_data, cell 2: x'
    assert 'noise' in (study.folder / 'study.log').read_text() and not long_run.CHILDREN


def test_what_is_needed_to_audit_stays(study):
    kept = ['params.yaml', 'audit/generator_card.csv', 'audit/provenance.json', 'predictions/a-s0-f0.csv.gz']
    gone = ['synthetic/dcgan/images.npy', 'generators/dcgan/g.safetensors', 'figures/01.png', '.cohort.lock']
    for name in (*kept, *gone):
        study.path(*name.split('/')).write_text('x')
    long_run.tidy(study.folder)
    left = {p.relative_to(study.folder).as_posix() for p in study.folder.rglob('*')}
    assert left == {*kept, 'audit', 'predictions'}


def test_24_cohorts_are_small_enough_to_be_committed(tmp_path):
    """Probabilities of 2,700 lesions, spread as those of trained networks, for every arm of the protocol."""
    plan = confirmatory_plan(filled(TUNING, 350), TUNING)
    names = [*arms_for([*PAPER, 'oracle']), *plan.tuned]
    arms = {
        name: arm for name, arm in arms_for([*PAPER, 'oracle'], lengths=plan.lengths).items() if name in names
    }
    table = population(arms, n=2700)
    cohort = compact.pack(calibration.scale(table, NAMES), about(arms))
    cohort.save(tmp_path / 'c.npz')
    assert len(arms) == 44 and 24 * (tmp_path / 'c.npz').stat().st_size < 6e6


@pytest.mark.smoke
@pytest.mark.long
def test_a_dev_cohort_from_its_lesions_to_its_file(clone):
    """`make study` on the smoke profile: made, packed, tidied; then nothing; then what is missing again."""
    goal = ('study', 'COHORTS=9000', 'PROFILE=smoke', 'SET=generators=[dcgan] arms=[classical,dcgan@1/8]')
    done = make(clone, *goal)
    assert done.returncode == 0, done.stdout + done.stderr
    file, run = clone / 'runs' / 'cohorts-smoke' / 'cohort-9000.npz', clone / 'runs' / 'study-smoke-9000'
    cohort = compact.Compact.load(file)
    assert [t[:2] for t in cohort.trials] == [('classical', 9000), ('dcgan@1/8', 9000)]
    assert cohort.about['params']['set']['seed'] == cohort.about['cohort'] == 9000
    assert set(cohort.about['card']['generator']) == {'dcgan'}
    assert 'blending_same' in cohort.about['gains']['step']
    assert not list(run.rglob('*.npy')) and (run / 'audit' / 'generator_card.csv').exists()
    assert json.loads((run / 'predictions' / 'provenance.json').read_text())['key']
    again = make(clone, *goal)
    assert again.returncode == 0 and '1 of 1 cohorts are finished' in again.stdout
    (clone / 'PROTOCOL.md').write_text(UNFILLED)
    refused = make(clone, 'study', 'COHORTS=1')
    assert refused.returncode == 2 and 'is not filled in' in refused.stderr
    assert not (clone / 'runs' / 'study-100').exists() and clone != ROOT
