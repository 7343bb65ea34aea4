"""JupyterLab as `make lab` starts it: the real server, and the copies that it opens."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import import_module
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from conftest import ROOT, make, python_m, shell_environment
from pages import CHROMIUM, Browser, problem

from genmix import StudyError
from tools import lab


@pytest.fixture(scope='module')
def server(clone, tmp_path_factory):
    """`python -m tools.lab` in a clone of a user who has no settings, but a kernelspec of another Python."""
    own = tmp_path_factory.mktemp('jupyter')
    kernel = own / 'modules' / 'kernels' / 'python3'
    kernel.mkdir(parents=True)
    spec = {'argv': ['/nowhere/python3', '-m', 'ipykernel'], 'display_name': 'Python 3', 'language': 'python'}
    (kernel / 'kernel.json').write_text(json.dumps(spec))
    places = {f'JUPYTER_{name}_DIR': str(own / name) for name in ('CONFIG', 'DATA', 'RUNTIME')}
    places |= {'HOME': str(own), 'JUPYTER_PATH': str(own / 'modules'), 'JUPYTER_PLATFORM_DIRS': '0'}
    command = [sys.executable, '-m', 'tools.lab', '--no-browser', '--allow-root', '--ServerApp.port=0']
    with open(own / 'log', 'w+') as said:
        process = subprocess.Popen(
            command, cwd=clone, env=shell_environment(clone) | places, stdout=said, stderr=said
        )
        try:
            for _ in range(1200):
                found = [p.read_text() for p in (own / 'RUNTIME').glob('jpserver-*.json') if p.stat().st_size]
                if found or process.poll() is not None:
                    break
                time.sleep(0.5)
            assert found, (own / 'log').read_text()
            yield json.loads(found[0])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(300)


def get(server, path, token=True):
    """The answer of the server, as text."""
    headers = {'Authorization': f'token {server["token"]}'} if token else {}
    with urlopen(Request(server['url'] + path, headers=headers), timeout=120) as answer:
        server['at'] = answer.url
        return answer.read().decode()


def test_the_server_is_on_this_machine_only_and_asks_for_its_token(server):
    assert server['hostname'] == 'localhost' and len(server['token']) >= 32
    for path in ('api/contents', 'lab/api/settings'):
        with pytest.raises(HTTPError) as refused:
            get(server, path, token=False)
        assert refused.value.code == 403


def test_it_opens_a_copy_of_00_and_reaches_the_project(server, clone):
    page = get(server, '')
    assert server['root_dir'] == str(clone) and server['at'].endswith('/lab/tree/lab/00_overview.ipynb')
    disabled = page.split('"disabledExtensions"')[1].split(']')[0]
    assert '@jupyterlab/apputils-extension:announcements' in disabled
    copied = json.loads(get(server, 'api/contents/lab?content=1'))['content']
    committed = sorted(p.name for p in (clone / 'notebooks').glob('*.ipynb'))
    assert sorted(entry['name'] for entry in copied) == committed and committed[0] == '00_overview.ipynb'
    assert json.loads(get(server, 'api/contents/notebooks?content=1'))['content']


def test_its_kernel_is_this_python(server):
    spec = json.loads(get(server, 'api/kernelspecs'))['kernelspecs']['python3']['spec']
    assert spec['argv'][0] == sys.executable


def test_a_folder_is_chosen_by_make(clone):
    done = python_m(clone, 'tools.lab', 'student', '--version')
    assert done.returncode == 1
    assert done.stderr == 'error: DIR=student has no notebooks: make student writes it.\n'
    done = make(clone, '-n', 'lab', "DIR=it's")
    assert done.stdout.strip().endswith("-m tools.lab 'it'\\''s'")
    assert make(clone, '-n', 'lab').stdout.strip().endswith("-m tools.lab ''")


@pytest.mark.parametrize('command', ['lab', 'student', 'book', 'readme', 'publish', 'verify'])
def test_commands_outside_of_the_study_are_one_sentence(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    assert import_module(f'tools.{command}').main([]) == 1
    said = capsys.readouterr().err
    assert 'is not in a copy of the study: change into the folder' in said and said.count('\n') == 1
    assert list(tmp_path.iterdir()) == []


def test_the_notebook_that_is_opened(project, monkeypatch):
    monkeypatch.chdir(project)
    folder = project / 'runs' / 'a' / 'notebooks'
    folder.mkdir(parents=True)
    for name in ('07_genmix.ipynb', '01_data.failed.ipynb', '02_dcgan.ipynb'):
        (folder / name).write_text('{}')
    assert lab.first_notebook('runs/a/notebooks/') == 'runs/a/notebooks/02_dcgan.ipynb'
    assert lab.first_notebook('runs/a/notebooks', '07_genmix') == 'runs/a/notebooks/07_genmix.ipynb'
    with pytest.raises(StudyError, match='has no 08_x: it has 02_dcgan, 07_genmix'):
        lab.first_notebook('runs/a/notebooks', '08_x')
    for outside in ('..', '/tmp', 'runs/../..'):
        with pytest.raises(StudyError, match='is not in the project'):
            lab.first_notebook(outside)
    with pytest.raises(StudyError, match='has no notebooks: make all writes'):
        lab.first_notebook('runs')


def test_kernels_hide_warnings_of_libraries(project, monkeypatch):
    """torch warns of torch.jit.script when fastai imports it: no pink box above the first output."""
    monkeypatch.chdir(project)
    monkeypatch.setenv('JUPYTER_CONFIG_PATH', '/mine')
    found = lab.surroundings()
    assert found['JUPYTER_CONFIG_PATH'] == f'{project / "tools"}{os.pathsep}/mine'
    code = 'import warnings\nwarnings.warn("old", FutureWarning)\nwarnings.warn("new", UserWarning)'
    done = subprocess.run(
        [sys.executable, '-c', code], env=os.environ | found, capture_output=True, text=True
    )
    assert 'UserWarning: new' in done.stderr and 'FutureWarning' not in done.stderr


@pytest.mark.skipif(not CHROMIUM, reason='no Chromium on this machine')
def test_jupyterlab_opens_in_a_browser_without_a_question_or_an_error(server, tmp_path):
    browser, address = Browser(tmp_path), f'{server["url"]}?token={server["token"]}'
    try:
        browser.ask('Page.navigate', url=address)
        title = "document.querySelector('.jp-NotebookPanel .jp-RenderedMarkdown h1')?.innerText ?? ''"
        for _ in range(300):
            if browser.value(title):
                break
            time.sleep(0.5)
        assert browser.value(title).startswith('00 ')
        time.sleep(5)  # a question about news comes when all else is there
        assert 'Jupyter news' not in browser.value('document.body.innerText')
        elsewhere = re.compile('asks for (?!https?://localhost|wss?://localhost)')
        said = [text for text in map(problem, browser.events) if text]
        assert [text for text in said if elsewhere.match(text) or not text.startswith('asks for')] == []
    finally:
        browser.close()


def test_git_leaves_the_copies_alone():
    assert '/lab/' in (ROOT / '.gitignore').read_text().split()
