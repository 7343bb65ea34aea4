import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_notebook_files import notebook, three

from genmix import StudyError, __main__
from genmix.run import runner
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
    heavy = '("torch", "papermill", "pandas", "fastai")'
    code = f'import sys, genmix.__main__; print([m for m in {heavy} if m in sys.modules])'
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


def test_lost_predictions_are_named(study):
    study.sign('predictions', {'trials': {'a-s0-f0': 'k', 'b-s1-f0': 'k'}, 'arms': {}})
    (study.folder / 'predictions' / 'b-s1-f0.csv.gz').write_bytes(b'')
    assert (
        runner.missing_predictions(study) == ['a-s0-f0.csv.gz']
        and runner.missing_predictions(Study('other', study.home)) == []
    )
