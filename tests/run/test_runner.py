import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from test_notebook_files import notebook

from genmix import StudyError
from genmix.run import runner
from genmix.run.notebooks import Notebook, notebooks
from genmix.run.runner import claim, execute, read_profile, read_settings, resolve
from genmix.run.study import Study

PARAMETERS = "run = 'scratch'\nalpha = 0.4\nname = 'x'\nmany = [1]\nmaybe: str | None = None"


@pytest.fixture
def every(tmp_path):
    return [
        Notebook(notebook(tmp_path / '01_a.ipynb', [(PARAMETERS, 'parameters'), ('print(alpha, run)',)])),
        Notebook(
            notebook(tmp_path / '02_b.ipynb', [("run = 'scratch'\nalpha = 0.4\nsteps = 3", 'parameters')])
        ),
        Notebook(notebook(tmp_path / '03_c.ipynb', [("run = 'scratch'\nsteps = 5", 'parameters')])),
    ]


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
    assert resolve({}, read_settings(['01_a.alpha=1e-3']), every)['01_a'] == {'alpha': 0.001}


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


def test_settings_are_yaml():
    assert read_settings(['a=1', 'b=0.5', 'c=[x, y]', 'd=/a b', 'e=', 'n.f=true', 'g=a=b']) == {
        'a': 1,
        'b': 0.5,
        'c': ['x', 'y'],
        'd': '/a b',
        'e': '',
        'n.f': True,
        'g': 'a=b',
    }
    with pytest.raises(StudyError, match='key=value'):
        read_settings(['alpha'])


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


def test_execute_injects_parameters_and_leaves_the_notebook_whole(study, every, capsys):
    execute(every[0], {'alpha': 0.7}, study)
    done = json.loads(study.path('notebooks', '01_a.ipynb').read_text())
    assert '0.7 test' in json.dumps(done) and not list(study.path('notebooks', 'x').parent.glob('*part*'))
    assert '01_a done' in capsys.readouterr().out
    assert 'notebook 01_a' in study.path('timings.csv').read_text()


def test_a_failing_cell_is_one_sentence_and_a_kept_notebook(study, tmp_path):
    nb = Notebook(
        notebook(
            tmp_path / '04_d.ipynb', [("run = ''", 'parameters'), ("raise ValueError('too few\\nlesions')",)]
        )
    )
    with pytest.raises(StudyError) as caught:
        execute(nb, {}, study)
    assert (
        str(caught.value) == '04_d, cell 3: ValueError: too few  (open runs/test/notebooks/04_d.failed.ipynb)'
    )
    assert (
        study.path('notebooks', '04_d.failed.ipynb').exists()
        and not study.path('notebooks', '04_d.ipynb').exists()
    )


def test_a_dead_kernel_is_one_sentence(study, tmp_path):
    nb = Notebook(
        notebook(tmp_path / '05_e.ipynb', [("run = ''", 'parameters'), ('import os; os._exit(1)',)])
    )
    with pytest.raises(StudyError, match='05_e: DeadKernelError'):
        execute(nb, {}, study)


def test_what_a_kernel_process_says_is_kept_only_where_it_failed(study, tmp_path, capfd):
    shout = (
        "import atexit, os, sys\natexit.register(lambda: print('Task was destroyed', file=sys.__stderr__))"
    )
    for body, log in ((shout, False), (shout + "\nraise ValueError('x')", True)):
        nb = Notebook(notebook(tmp_path / '06_f.ipynb', [("run = ''", 'parameters'), (body,)]))
        try:
            execute(nb, {}, study)
        except StudyError:
            pass
        assert study.path('notebooks', '06_f.kernel.log').exists() == log
    assert (
        'destroyed' not in capfd.readouterr().err
        and 'destroyed' in study.path('notebooks', '06_f.kernel.log').read_text()
    )


def test_quiet_log_passes_marked_lines_only(capsys):
    log = runner.QuietLog('02_b')
    log.write('a table\n▸ dcgan: 1 of 2\n')
    assert capsys.readouterr().out == '▸ 02_b | dcgan: 1 of 2\n'


def test_main_says_one_line_and_exits_with_1(capsys):
    assert runner.main(['nowhere', '--check']) == 1
    said = capsys.readouterr().err
    assert said.startswith('error: There is no notebook nowhere') and said.count('\n') == 1


def test_check_needs_no_heavy_library():
    """`make all` on a finished run asks the runner only to check: torch and papermill would cost seconds."""
    code = 'import sys, genmix.runner; print([m for m in ("torch", "papermill", "pandas", "fastai") if m in sys.modules])'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout.strip() == '[]'


def test_kill_leaves_no_executed_notebook(project, tmp_path):
    """kill -9 in the middle of a notebook: nothing carries the finished name."""
    (project / 'notebooks').mkdir(exist_ok=True)
    notebook(
        project / 'notebooks' / '01_a.ipynb',
        [("run = 'scratch'", 'parameters'), ('import time; time.sleep(60)',)],
    )
    (project / 'params' / 'p.yaml').write_text('01_a: {}\n')
    child = subprocess.Popen(
        [sys.executable, '-m', 'genmix.runner', '01_a', '--params', 'params/p.yaml', '--run', 'k'],
        cwd=project,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    folder = project / 'runs' / 'k' / 'notebooks'
    end = time.time() + 60
    while not list(folder.glob('.01_a.part.ipynb')) and time.time() < end:
        time.sleep(0.1)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert not (folder / '01_a.ipynb').exists()


def test_a_notebook_whose_question_cannot_be_answered_ends_early_and_the_study_goes_on(project, capsys):
    book = Notebook(
        notebook(
            project / '05_small.ipynb',
            [
                ("run = ''", 'parameters'),
                ("from genmix import NotEnough\nraise NotEnough('The audit needs more.')",),
            ],
        )
    )
    execute(book, {}, Study('few', project))
    assert '05_small ends early: The audit needs more.' in capsys.readouterr().out
    assert (project / 'runs/few/notebooks/05_small.ipynb').exists() and not list(
        (project / 'runs/few/notebooks').glob('*failed*')
    )


def test_kernels_that_start_together_have_sockets_of_their_own(tmp_path, monkeypatch):
    """Two at once must not find the same free name: one of them would never answer."""
    import asyncio

    async def together():
        managers = [runner.kernel_manager(subprocess.DEVNULL)(kernel_name='python3') for _ in range(2)]
        await asyncio.gather(*(m.start_kernel() for m in managers))
        folders = [Path(m.ip).parent for m in managers]
        clients = [m.client() for m in managers]
        for client in clients:
            client.start_channels()
            await client.wait_for_ready(timeout=60)
            client.stop_channels()
        for m in managers:
            await m.shutdown_kernel(now=True)
        return folders

    monkeypatch.chdir(tmp_path)
    folders = asyncio.run(together())
    assert folders[0] != folders[1] and not any(f.exists() for f in folders) and not list(tmp_path.iterdir())


def test_a_generator_that_is_left_out_is_not_trained(project, capsys):
    books = project / 'notebooks'
    books.mkdir()
    for name, body, makes in (
        ('02_a', 'raise ValueError', ['generators/a', 'synthetic/a']),
        ('03_b', '1 + 1', ['generators/b', 'synthetic/b']),
        ('07_mix', '2 + 2', []),
    ):
        content = json.loads(
            notebook(
                books / f'{name}.ipynb',
                [("run = ''" + "\ngenerators = ['all']" * (name == '07_mix'), 'parameters'), (body,)],
            ).read_text()
        )
        content['metadata']['genmix'] = {'needs': [], 'makes': makes}
        content['cells'][-1] |= {
            'outputs': [{'output_type': 'stream', 'name': 'stdout', 'text': ['published']}],
            'execution_count': 2,
        }
        (books / f'{name}.ipynb').write_text(json.dumps(content))
    every = notebooks(books)
    study = Study('r', project)
    chosen = {'02_a': {}, '03_b': {}, '07_mix': {'generators': ['b']}}
    assert [runner.left_out(nb, chosen) for nb in every] == ['a', '', '']
    assert not any(
        runner.left_out(nb, {'07_mix': {'generators': ['all']}}) or runner.left_out(nb, {}) for nb in every
    )
    runner.skip(every[0], 'a', study)
    assert '02_a is skipped: a is not among the generators' in capsys.readouterr().out
    assert 'published' not in study.path('notebooks/02_a.ipynb').read_text(), 'outputs of another run'
    assert study.path('synthetic/a/provenance.json').exists() and not study.key('synthetic/a')


def test_lost_predictions_are_named(study):
    study.sign('predictions', {'a-s0-f0': 'k', 'b-s1-f0': 'k', 'mixture': {}})
    (study.folder / 'predictions' / 'b-s1-f0.csv.gz').write_bytes(b'')
    assert (
        runner.missing_predictions(study) == ['a-s0-f0.csv.gz']
        and runner.missing_predictions(Study('other', study.home)) == []
    )


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
