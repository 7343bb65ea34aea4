import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from test_notebook_files import notebook, three

from genmix import StudyError, __main__
from genmix.run import runner
from genmix.run.kernels import kernel_manager
from genmix.run.notebooks import Notebook, notebooks
from genmix.run.runner import execute
from genmix.run.study import Study


@pytest.fixture
def every(tmp_path):
    return three(tmp_path)


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
        with contextlib.suppress(StudyError):
            execute(nb, {}, study)
        assert study.path('notebooks', '06_f.kernel.log').exists() == log
    assert (
        'destroyed' not in capfd.readouterr().err
        and 'destroyed' in study.path('notebooks', '06_f.kernel.log').read_text()
    )


def test_only_marked_lines_of_a_notebook_pass(capsys):
    passed = runner.NotebookLog('02_b')
    passed.write('a table\n▸ dcgan: 1 of 2\n')
    assert capsys.readouterr().out == '▸ 02_b | dcgan: 1 of 2\n'


def test_main_says_one_line_and_exits_with_1(capsys):
    assert __main__.main(['nowhere', '--check']) == 1
    said = capsys.readouterr().err
    assert said.startswith('error: There is no notebook nowhere') and said.count('\n') == 1


def test_check_needs_no_heavy_library():
    """`make all` on a finished run asks the runner only to check: torch and papermill would cost seconds."""
    heavy = '("torch", "papermill", "numpy", "nbformat", "email", "subprocess")'
    code = f'import sys, genmix.__main__; print([m for m in {heavy} if m in sys.modules])'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout.strip() == '[]'


def test_a_notebook_starts_without_the_grammar_that_jsonschema_would_build(project):
    """A second of every start; `-X importtime` names all that is imported."""
    (project / 'notebooks').mkdir()
    notebook(project / 'notebooks' / '01_a.ipynb', [("run = 'scratch'", 'parameters'), ('1 + 1',)])
    (project / 'params' / 'p.yaml').write_text('01_a: {}\n')
    command = [sys.executable, '-X', 'importtime', '-m', 'genmix', '01_a', '--params', 'params/p.yaml']
    env = os.environ | {'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and 'jsonschema._format' in done.stderr
    assert 'syntax_helpers' not in done.stderr


def test_kill_leaves_no_executed_notebook(project, tmp_path):
    """kill -9 in the middle of a notebook: nothing carries the finished name."""
    (project / 'notebooks').mkdir(exist_ok=True)
    notebook(
        project / 'notebooks' / '01_a.ipynb',
        [("run = 'scratch'", 'parameters'), ('import time; time.sleep(60)',)],
    )
    (project / 'params' / 'p.yaml').write_text('01_a: {}\n')
    child = subprocess.Popen(
        [sys.executable, '-m', 'genmix', '01_a', '--params', 'params/p.yaml', '--run', 'k'],
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
        managers = [kernel_manager(subprocess.DEVNULL)(kernel_name='python3') for _ in range(2)]
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
    found = notebooks(books)
    study = Study('r', project)
    chosen = {'02_a': {}, '03_b': {}, '07_mix': {'generators': ['b']}}
    assert [runner.left_out(nb, chosen) for nb in found] == ['a', '', '']
    assert not any(
        runner.left_out(nb, {'07_mix': {'generators': ['all']}}) or runner.left_out(nb, {}) for nb in found
    )
    runner.skip(found[0], 'a', study)
    assert '02_a is skipped: a is not among the generators' in capsys.readouterr().out
    assert 'published' not in study.path('notebooks/02_a.ipynb').read_text(), 'outputs of another run'
    assert study.path('synthetic/a/provenance.json').exists() and not study.key('synthetic/a')


def test_lost_and_damaged_files_are_named_and_their_notebook_is_forgotten(study, capsys, monkeypatch):
    monkeypatch.setenv('GENMIX_NOTEBOOK', '08_classification')
    for name in ('a-s0-f0', 'b-s1-f0'):
        study.path('predictions', f'{name}.csv.gz').write_bytes(b'x')
    study.sign('predictions', {'trials': {}})
    study.stage('generators/a', lambda out: (out / 'w').write_bytes(b'1234'))
    done = study.path('notebooks', '08_classification.ipynb')
    done.write_text('{"cells": []}')
    runner.forget_damaged(study)
    assert done.exists() and 'again' not in capsys.readouterr().out
    (study.folder / 'predictions' / 'a-s0-f0.csv.gz').unlink()
    (study.folder / 'generators' / 'a' / 'w').write_bytes(b'1235')
    runner.forget_damaged(study)
    said = capsys.readouterr().out
    for file in ('predictions/a-s0-f0.csv.gz', 'generators/a/w'):
        assert f'runs/test/{file} is gone or not as it was written: 08_classification makes it again' in said
    assert not done.exists()


@pytest.mark.parametrize('content', [b'', b'{}', b'{"key": "1', b'\xff{}', b'[1]'])
def test_a_stage_whose_provenance_is_damaged_is_named_and_its_notebook_is_forgotten(study, content, capsys):
    """Without its key nobody knows what a stage was made from: the notebook that makes it is asked."""
    folder = study.path('notebooks', 'x').parent
    (study.home / 'notebooks').symlink_to(ROOT / 'notebooks')
    for stage, name in (('cohort', '01_data'), ('audit/tstr/dcgan', '06_generator_audit')):
        study.stage(stage, lambda out: (out / 'w').write_bytes(b'1234'))
        done = folder / f'{name}.ipynb'
        done.write_text('{"cells": []}')
        runner.forget_damaged(study)
        assert done.exists() and 'again' not in capsys.readouterr().out
        (study.folder / stage / 'provenance.json').write_bytes(content)
        runner.forget_damaged(study)
        said = capsys.readouterr().out
        assert f'{stage}/provenance.json is gone or not as it was written: {name} makes it again' in said
        assert not done.exists()
        study.stage(stage, lambda out: (out / 'w').write_bytes(b'1234'))
        assert study.key(stage)


def test_what_is_signed_to_be_removed_is_removed_where_it_is_damaged(study, capsys, monkeypatch):
    """Every such file at once: its maker only looks whether it is there, and would sign what it finds."""
    monkeypatch.setenv('GENMIX_NOTEBOOK', '08_classification')
    files = [study.path('predictions', f'{name}.json') for name in 'abc']
    for file in files:
        file.write_text('{"mass": 0.5}')
    study.sign('predictions/about', files=files, removed=True)
    done = study.path('notebooks', '08_classification.ipynb')
    done.write_text('{"cells": []}')
    files[0].write_text('{"mass": 0.6}')
    files[2].write_text('')
    runner.forget_damaged(study)
    said = capsys.readouterr().out
    assert [file.exists() for file in files] == [False, True, False] and not done.exists()
    for name in 'ac':
        assert f'predictions/{name}.json is gone or not as it was written: 08_classification makes' in said


@pytest.mark.parametrize('content', [b'', b'{"cells": [', b'\xff{}', b'3', b'{}'])
def test_a_damaged_page_is_executed_again(study, content, capsys):
    whole, broken = (study.path('notebooks', f'0{i}_a.ipynb') for i in (1, 2))
    whole.write_text('{"cells": []}')
    broken.write_bytes(content)
    failed = study.path('notebooks', '02_a.failed.ipynb')
    failed.write_bytes(content)
    runner.forget_damaged(study)
    assert whole.exists() and failed.exists() and not broken.exists()
    assert 'runs/test/notebooks/02_a.ipynb is damaged: it is executed again' in capsys.readouterr().out


def test_a_notebook_that_another_process_executes_is_waited_for(study, every, capsys):
    """The second of two makes says who holds the notebook, and both end with a finished one."""
    code = (
        'import sys, time; from pathlib import Path; from genmix.run.files import file_lock\n'
        'with file_lock(Path(sys.argv[1])): print("held", flush=True); time.sleep(1.5)'
    )
    lock = study.path('notebooks', '.01_a.lock')
    other = subprocess.Popen([sys.executable, '-c', code, lock], stdout=subprocess.PIPE, text=True)
    other.stdout.readline()
    execute(every[0], {}, study)
    other.wait()
    said = capsys.readouterr().out
    assert f'01_a waits: process {other.pid} executes it in runs/test' in said and '01_a done' in said
    assert study.path('notebooks', '01_a.ipynb').exists() and lock.read_text() == ''


def test_the_kernel_is_this_python_whatever_the_kernelspec_of_the_user_names(study, tmp_path, monkeypatch):
    spec = tmp_path / 'jupyter' / 'kernels' / 'python3'
    spec.mkdir(parents=True)
    about = {'argv': ['/bin/false', '{connection_file}'], 'display_name': 'x', 'language': 'python'}
    (spec / 'kernel.json').write_text(json.dumps(about))
    monkeypatch.setenv('JUPYTER_DATA_DIR', str(tmp_path / 'jupyter'))
    show = "import os, sys\nprint(sys.executable, os.environ['GENMIX_NOTEBOOK'])"
    execute(Notebook(notebook(tmp_path / '01_k.ipynb', [("run = ''", 'parameters'), (show,)])), {}, study)
    assert f'{sys.executable} 01_k' in study.path('notebooks', '01_k.ipynb').read_text()


def test_the_last_words_of_a_dead_kernel_are_named(study, tmp_path):
    die = "import os, sys\nprint('no memory', file=sys.__stderr__, flush=True)\nos._exit(1)"
    nb = Notebook(notebook(tmp_path / '05_e.ipynb', [("run = ''", 'parameters'), (die,)]))
    with pytest.raises(StudyError, match=r'\(open runs/test/notebooks/05_e.kernel.log and .*failed.ipynb\)'):
        execute(nb, {}, study)
    assert 'no memory' in study.path('notebooks', '05_e.kernel.log').read_text()


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_it_says_one_line_and_leaves_no_sockets(project, tmp_path, how):
    """Ctrl-C and others; what kill -9 leaves goes with the next notebook."""
    (project / 'notebooks').mkdir(exist_ok=True)
    body = "open('begun', 'w').close()\nimport time; time.sleep(60)"
    notebook(project / 'notebooks' / '01_a.ipynb', [("run = 'scratch'", 'parameters'), (body,)])
    (project / 'params' / 'p.yaml').write_text('01_a: {}\n')
    (temporary := tmp_path / 't').mkdir()
    command = [sys.executable, '-m', 'genmix', '01_a', '--params', 'params/p.yaml', '--run', 'k']
    child = subprocess.Popen(
        command,
        cwd=project,
        env=os.environ | {'TMPDIR': str(temporary), 'PYTHONPATH': str(ROOT)},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that starts the tests in the background has them ignore Ctrl-C, and their children too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    end = time.time() + 60
    while not (project / 'begun').exists() and time.time() < end:
        time.sleep(0.1)
    os.killpg(child.pid, how)
    said = child.communicate(timeout=30)[1]
    if how != signal.SIGKILL:
        assert said.count('\n') == 1 and said.startswith('error: interrupted') and child.returncode == 130
    if how == signal.SIGKILL:
        code = 'from genmix.run.kernels import sweep; sweep()'
        subprocess.run([sys.executable, '-c', code], env=os.environ | {'TMPDIR': str(temporary)}, check=True)
    assert not list(temporary.iterdir()) and not (project / 'runs/k/notebooks/01_a.ipynb').exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(project, monkeypatch, capsys):
    def fail(*_):
        raise OSError(30, 'Read-only file system', 'runs/p/params.yaml')

    monkeypatch.chdir(project)
    (project / 'notebooks').mkdir()
    monkeypatch.setattr(__main__, 'claim', fail)
    assert __main__.main(['--check', '--params', 'params/cpu.yaml']) == 1
    said = capsys.readouterr().err
    assert said.startswith('error: runs/p/params.yaml: Read-only file system: give') and said.count('\n') == 1


def test_outside_a_checkout_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert __main__.main(['02_dcgan']) == 1
    said = capsys.readouterr().err
    assert 'is not in a copy of the study: change into the folder that holds params/' in said
    assert said.count('\n') == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'name', ['', '.', '..', '../notebooks', '/tmp/x', 'a/b', 'a b', '*', '-x', 'x:y', 'x%y', 'é']
)
def test_a_run_is_one_folder_below_runs(project, name, monkeypatch, capsys):
    monkeypatch.chdir(project)
    (project / 'notebooks').mkdir()
    assert __main__.main(['--check', f'--run={name}']) == 1
    assert 'a name begins with a letter or a digit' in capsys.readouterr().err
    assert not (project / 'runs').exists()
