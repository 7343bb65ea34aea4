import copy
import json
import os
import shutil
import subprocess

import pytest
import yaml
from conftest import ROOT, make
from test_outputs import executed, noisy, shown, stream

from genmix import StudyError
from tools import publish
from tools.publish import stamp


def committed(notebook):
    """The source that `notebook` was executed from."""
    source = copy.deepcopy(notebook)
    source['cells'] = [c for c in source['cells'] if c['id'] != 'q']
    source['metadata'] = {'genmix': {'makes': [], 'needs': []}}
    for c in source['cells']:
        c['metadata'] = {'tags': ['parameters']} if c['id'] == 'p' else {}
        if c['cell_type'] == 'code':
            c |= {'outputs': [], 'execution_count': None}
    return source


@pytest.fixture
def finished(study, monkeypatch):
    """A project of one notebook and a run of it."""
    monkeypatch.setattr(publish.verify, 'numbers', lambda study: {'exact': {'patients': 5}})
    run = executed(stream('▸ made in 3 s\n', 'stderr'), stream('5 patients\n'), shown(noisy()))
    for path, content in (
        (study.home / 'notebooks' / '01_a.ipynb', committed(run)),
        (study.path('notebooks', '01_a.ipynb'), run),
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    study.path('params.yaml').write_text(yaml.safe_dump({'profile': 'cpu', 'set': {}}))
    os.utime(study.home / 'notebooks' / '01_a.ipynb', (1e9, 1e9))
    return study


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_run_is_published(finished):
    path, numbers = finished.home / 'notebooks' / '01_a.ipynb', finished.home / 'measured' / 'quick.json'
    source = json.loads(path.read_text())
    finished.path('figures', '07_labels.png').write_bytes(b'a picture')
    publish.publish(finished)
    pictures = finished.home / 'docs' / 'figures'
    assert [(p.name, p.read_bytes()) for p in pictures.iterdir()] == [('mixture.png', b'a picture')]
    content, first = json.loads(path.read_text()), path.read_bytes()
    assert [
        {k: v for k, v in c.items() if k not in ('outputs', 'execution_count')} for c in content['cells']
    ] == [{k: v for k, v in c.items() if k not in ('outputs', 'execution_count')} for c in source['cells']]
    assert (
        content['cells'][-1]['outputs'][0] == stream('5 patients\n')
        and 'image/png' in content['cells'][-1]['outputs'][1]['data']
    )
    assert content['metadata']['genmix'] == {'makes': [], 'needs': [], 'published': stamp(source)}
    assert path.stat().st_mtime == 1e9, 'make would run everything again'
    assert json.loads(numbers.read_text()) == {'exact': {'patients': 5}}
    publish.publish(finished)
    assert path.read_bytes() == first and path.stat().st_mtime == 1e9


def test_the_stamp_is_of_code_alone():
    run = executed()
    other = copy.deepcopy(run)
    other['cells'][0]['source'] = ['# Another title']
    assert stamp(run) == stamp(other)
    other['cells'][-1]['source'] = ['show(1)']
    assert stamp(run) != stamp(other)


@pytest.mark.parametrize(
    'change, word',
    [
        (
            lambda run: edit(
                run.home / 'notebooks' / '01_a.ipynb', lambda n: n['cells'][-1].update(source=['show(2)'])
            ),
            '01_a in runs/test was made by other code',
        ),
        (lambda run: run.path('notebooks', '01_a.ipynb').unlink(), 'has no 01_a'),
        (
            lambda run: run.path('params.yaml').write_text('{profile: cpu, set: {alpha: 0.2}}'),
            'SET of alpha=0.2',
        ),
        (lambda run: run.path('params.yaml').write_text('{profile: smoke, set: {}}'), 'profile smoke'),
        (lambda run: run.path('params.yaml').unlink(), 'make all RUN=test'),
        (
            lambda run: edit(
                run.path('notebooks', '01_a.ipynb'),
                lambda n: n['cells'][-1]['outputs'].append(stream('see /home/me/x.png\n')),
            ),
            'shows "/home/me/x.png"',
        ),
        (
            lambda run: edit(
                run.path('notebooks', '01_a.ipynb'),
                lambda n: n['cells'][-1]['outputs'].append(stream(f'see {run.folder}\n')),
            ),
            'belongs to one machine',
        ),
        (
            lambda run: edit(
                run.path('notebooks', '01_a.ipynb'),
                lambda n: n['cells'][-1]['outputs'].append(stream('x' * publish.LIMIT)),
            ),
            'the limit is 1.5',
        ),
    ],
)
def test_what_is_refused_leaves_everything_as_it_was(finished, change, word):
    change(finished)
    before = (finished.home / 'notebooks' / '01_a.ipynb').read_bytes()
    with pytest.raises(StudyError, match=word) as caught:
        publish.publish(finished)
    assert '\n' not in str(caught.value)
    assert (finished.home / 'notebooks' / '01_a.ipynb').read_bytes() == before and not (
        finished.home / 'measured'
    ).exists()


def test_where_the_work_was_done_does_not_count(finished):
    finished.path('params.yaml').write_text('{profile: cpu, set: {scheduler: "tcp://node1:8786"}}')
    publish.publish(finished)
    finished.path('params.yaml').write_text('{profile: smoke, set: {alpha: 0.2}}')
    publish.publish(finished, strict=False)


def test_main_says_one_line(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished.home)
    assert (
        publish.main(['--run', 'test']) == 0
        and '1 notebooks hold the outputs of runs/test' in capsys.readouterr().out
    )
    finished.path('notebooks', '01_a.ipynb').unlink()
    assert publish.main(['--run', 'test']) == 1 and capsys.readouterr().err.count('\n') == 1


def test_a_review_shows_sources_alone(clone):
    """make nbdiff, with the project's nbdime_config.json, skips outputs and stamps, not sources."""

    def git(*words):
        return subprocess.run(
            ['git', '-c', 'user.name=t', '-c', 'user.email=t@example.org', *words],
            cwd=clone,
            check=True,
            capture_output=True,
        )

    shutil.copy(ROOT / 'nbdime_config.json', clone)
    path = clone / 'notebooks' / '01_data.ipynb'
    git('init', '-q')
    git('add', 'notebooks', 'nbdime_config.json')
    git('commit', '-qm', 'first')

    def show(content):
        code = [c for c in content['cells'] if c['cell_type'] == 'code']
        code[1] |= {'outputs': [stream('5 patients\n')], 'execution_count': 2}
        content['metadata']['genmix']['published'] = 'f' * 16

    edit(path, show)
    said = make(clone, 'nbdiff', 'REV=HEAD')
    assert (said.returncode, said.stdout.strip()) == (0, ''), said.stdout + said.stderr
    path.write_text(path.read_text().replace('train_fraction = ', 'train_fraction = 1e-9 + '))
    said = make(clone, 'nbdiff', 'REV=HEAD')
    assert '1e-9' in said.stdout and '5 patients' not in said.stdout and 'published' not in said.stdout
