import pytest
import yaml
from conftest import ROOT
from test_notebook_files import notebook, three

from genmix import StudyError
from genmix.__main__ import check_owners
from genmix.generators import PAPER
from genmix.mixing.arms import arms_for
from genmix.run.notebooks import Notebook, notebooks
from genmix.run.profile import claim, copy_of, parameter_of, read_profile, resolve
from genmix.run.settings import read_settings


@pytest.fixture
def every(tmp_path):
    return three(tmp_path)


def test_sections_override_common_and_set_overrides_both(every):
    profile = {'common': {'alpha': 1, 'name': 'y'}, '02_b': {'alpha': 2.0}}
    params = resolve(profile, {'02_b.alpha': 3, 'name': 'z'}, every)
    assert params == {'01_a': {'alpha': 1, 'name': 'z'}, '02_b': {'alpha': 3}, '03_c': {}}


@pytest.mark.parametrize(
    'profile, settings, words',
    [
        ({'common': {'alhpa': 1}}, {}, 'alhpa.*did you mean "alpha"'),
        ({'01_a': {'steps': 1}}, {}, '"01_a.steps"'),
        ({'09_z': {}}, {}, 'section "09_z"'),
        ({'common': {'alpha': 'high'}}, {}, 'alpha takes float .*not .high.'),
        ({'02_b': {'steps': 2.5}}, {}, 'steps takes int'),
        ({'02_b': {'steps': True}}, {}, 'steps takes int'),
        ({'01_a': {'many': 1}}, {}, 'many takes list'),
        ({'01_a': {'name': None}}, {}, 'name takes str'),
        ({}, {'alpa': 1}, 'alpa.*did you mean "alpha"'),
        ({}, {'run': 'x'}, '"run"'),
        (
            {'02_b': {'steps': 1}, '03_c': {'steps': 2}},
            {'steps': 9},
            '"steps" is a parameter of 02_b, 03_c, which have different values: say which',
        ),
    ],
)
def test_what_is_wrong_is_named_before_a_kernel_starts(every, profile, settings, words):
    with pytest.raises(StudyError, match=words):
        resolve(profile, settings, every)


def test_sections_that_agree_are_set_together(every):
    params = resolve({'02_b': {'steps': 1}, '03_c': {'steps': 1}}, {'steps': 9}, every)
    assert params['02_b']['steps'] == params['03_c']['steps'] == 9


def test_exponents_are_numbers(every):
    settings = read_settings([('01_a.alpha', '1e-3')], parameter_of(every))
    assert resolve({}, settings, every)['01_a'] == {'alpha': 0.001}


def test_files_that_parameters_name_belong_to_the_run(study, tmp_path, capsys):
    nb = Notebook(notebook(tmp_path / '01_f.ipynb', [("run = ''\ndata_dir = ''", 'parameters')]))
    (tmp_path / 'set').mkdir()
    claim(study, 'params/p.yaml', {}, {'data_dir': str(tmp_path / 'set')}, [nb])
    before = study.path('params.yaml').read_text()
    (tmp_path / 'set' / 'new.png').write_text('x')
    claim(study, 'params/p.yaml', {}, {}, [nb])
    assert study.path('params.yaml').read_text() != before and 'have changed' in capsys.readouterr().out


@pytest.mark.parametrize('profile', sorted((ROOT / 'params').glob('*.yaml')), ids=lambda p: p.stem)
def test_every_profile_that_ships_is_valid(profile):
    resolve(read_profile(profile), {}, notebooks(ROOT / 'notebooks', appendices=True))


def test_null_where_annotated(every):
    assert resolve({'01_a': {'maybe': None}}, {}, every)['01_a'] == {'maybe': None}


def test_profiles_that_are_no_profiles(tmp_path):
    for text, word in (
        ('a: [', 'not plain YAML'),
        ('a: 1', 'sections'),
        ('x: !!python/object/apply:os.system [ls]', 'not plain YAML'),
    ):
        (tmp_path / 'p.yaml').write_text(text)
        with pytest.raises(StudyError, match=word):
            read_profile(tmp_path / 'p.yaml')
    with pytest.raises(StudyError, match='no profile'):
        read_profile(tmp_path / 'absent.yaml')


def test_a_run_keeps_what_it_was_asked(study, every):
    first = claim(study, 'params/p.yaml', {'common': {'alpha': 1.0}}, {'name': 'z'}, every)
    stamp = study.path('params.yaml').stat().st_mtime_ns
    assert (
        claim(study, 'params/p.yaml', {'common': {'alpha': 1.0}}, {}, every) == first
    )  # no SET: the run's own
    assert study.path('params.yaml').stat().st_mtime_ns == stamp
    for profile, settings in (('params/p.yaml', {'name': 'q'}), ('params/other.yaml', {})):
        with pytest.raises(StudyError, match='RUN=name'):
            claim(study, profile, {'common': {'alpha': 1.0}}, settings, every)
    assert yaml.safe_load(study.path('params.yaml').read_text())['notebooks'] == first


def test_an_edited_profile_is_taken_over(study, every, capsys):
    claim(study, 'params/p.yaml', {'common': {'alpha': 1.0}}, {}, every)
    assert claim(study, 'params/p.yaml', {'common': {'alpha': 2.0}}, {}, every)['01_a']['alpha'] == 2.0
    assert 'have changed' in capsys.readouterr().out


def test_a_run_may_go_on_elsewhere_but_not_with_other_settings(study, tmp_path):
    nb = Notebook(
        notebook(
            tmp_path / '01_f.ipynb', [("run = ''\nseeds = 5\nscheduler = ''\nworkers = 0", 'parameters')]
        )
    )
    claim(study, 'params/p.yaml', {}, {'seeds': 16}, [nb])
    assert claim(study, 'params/p.yaml', {}, {'seeds': 16, 'scheduler': 'tcp://x:1'}, [nb])['01_f'] == {
        'seeds': 16,
        'scheduler': 'tcp://x:1',
    }
    assert claim(study, 'params/p.yaml', {}, {'seeds': 16, '01_f.workers': 2}, [nb])['01_f'] == {
        'seeds': 16,
        'workers': 2,
    }
    with pytest.raises(StudyError, match='RUN=name'):
        claim(study, 'params/p.yaml', {}, {'seeds': 17}, [nb])


def test_the_profile_for_24_gb_is_that_of_the_paper_but_for_its_batches():
    paper, small = (read_profile(ROOT / 'params' / f'{name}.yaml') for name in ('paper', 'gpu24'))
    differ = {
        (name, key)
        for name in paper
        for key in paper[name] | small[name]
        if paper[name].get(key) != small[name].get(key)
    }
    assert {key for _, key in differ} == {'batch_size', 'r1_gamma'} and list(paper) == list(small)
    assert all(small[name]['batch_size'] < paper[name]['batch_size'] for name, key in differ)


def test_the_gpu_profile_names_arms_that_exist():
    asked = read_profile(ROOT / 'params' / 'gpu.yaml')['08_classification']['arms']
    assert set(asked) <= set(arms_for([*PAPER, 'oracle']))
    assert {f'{form}{g}@1/8' for g in PAPER for form in ('', 'genmix-')} <= set(asked)


@pytest.mark.parametrize('profile', sorted((ROOT / 'params').glob('*.yaml')), ids=lambda p: p.stem)
def test_values_of_every_profile_are_in_the_bounds_of_their_owners(profile, study):
    every = notebooks(ROOT / 'notebooks', appendices=True)
    check_owners(resolve(read_profile(profile), {}, every), every, study)


def claimed(study, every):
    claim(study, 'params/p.yaml', {'common': {'alpha': 1.0}}, {'name': 'z'}, every)
    return study.path('params.yaml')


@pytest.mark.parametrize(
    'damage',
    [b'', b'\x00' * 40, b'set: [', b'profile: p\nset: {name: q}\nnotebooks: {}\nfiles: {}\n', b'- 1', None],
)
def test_damaged_params_are_put_back_with_the_set_of_the_run(study, every, damage, capsys):
    path = claimed(study, every)
    before, stamp = path.read_bytes(), path.stat().st_mtime_ns
    path.unlink() if damage is None else path.write_bytes(damage)
    assert claim(study, 'params/p.yaml', {'common': {'alpha': 1.0}}, {}, every)['01_a']['name'] == 'z'
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns <= stamp, 'make would execute everything again'
    assert 'runs/test/params.yaml is not as it was written: its copy is put back' in capsys.readouterr().out


def test_damaged_params_without_a_copy_are_one_sentence(study, every):
    path = claimed(study, every)
    for file in (path, copy_of(path)):
        file.write_text('set: [')
    with pytest.raises(StudyError, match='runs/test/params.yaml is damaged: remove it, and give the SET'):
        claim(study, 'params/p.yaml', {}, {}, every)


def test_a_run_made_before_there_were_copies_gets_one(study, every):
    path = claimed(study, every)
    copy_of(path).unlink()
    claim(study, 'params/p.yaml', {'common': {'alpha': 1.0}}, {}, every)
    assert copy_of(path).read_bytes() == path.read_bytes()
