import copy
import json
import os
import shutil
import subprocess

import pytest
import yaml
from conftest import ROOT, make
from test_pictures import noisy, shown

from genmix import StudyError
from tools import publish
from tools.publish import presentable, stamp


def stream(text, name='stdout'):
    return {'output_type': 'stream', 'name': name, 'text': text.splitlines(keepends=True)}


def result(**data):
    return {
        'output_type': 'execute_result',
        'execution_count': 7,
        'metadata': {},
        'data': {k.replace('_', '/'): v for k, v in data.items()},
    }


def cell(name, source, outputs=(), **metadata):
    return {
        'id': name,
        'cell_type': 'code',
        'metadata': metadata,
        'source': [source],
        'execution_count': 7,
        'outputs': list(outputs),
    }


def executed(*outputs):
    """A notebook as papermill leaves it: tagged parameters, injected ones, one cell with `outputs`."""
    noise = {'papermill': {'duration': 1.5, 'start_time': '2026-01-01T00:00:00'}, 'tags': []}
    cells = [
        {'id': 'title', 'cell_type': 'markdown', 'metadata': dict(noise), 'source': ['# Title']},
        cell('p', "run = ''", tags=['parameters'], papermill={}),
        cell('q', "run = 'cpu'", tags=['injected-parameters']),
        cell('a', 'show()', outputs, **noise),
    ]
    return {
        'cells': cells,
        'nbformat': 4,
        'nbformat_minor': 5,
        'metadata': {
            'genmix': {'makes': [], 'needs': []},
            'papermill': {'duration': 3},
            'language_info': {'name': 'python', 'version': '3.11.7'},
        },
    }


def outputs(*made):
    return presentable(executed(*made))['cells'][-1]['outputs']


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
    run = executed(stream('▸ made in 3 s\n5 patients\n'), shown(noisy()))
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


def test_what_belongs_to_one_machine_and_hour_goes():
    run = executed(
        stream('▸ made in 3 s\n'),
        stream('kept\n▸ 3 of 9\n'),
        stream('/x/y.py:45: UserWarning\n', 'stderr'),
        stream('too\n'),
    )
    before, clean = copy.deepcopy(run), presentable(run)
    assert run == before
    assert [c['id'] for c in clean['cells']] == ['title', 'p', 'a'] and [
        c.get('execution_count') for c in clean['cells']
    ] == [None, 1, 2]
    assert (
        clean['cells'][1]['metadata'] == {'tags': ['parameters']}
        and clean['cells'][2]['metadata'] == {}
        and clean['cells'][1]['source'] == ["run = ''"]
    )
    assert clean['cells'][-1]['outputs'] == [stream('kept\ntoo\n')]
    assert clean['metadata'] == {'genmix': {'makes': [], 'needs': []}, 'language_info': {'name': 'python'}}


def test_bars_go():
    assert outputs(stream(' 10%|#   | 1/10\r100%|####| 10/10\ndone\n'), stream('1 of 2\r2 of 2\n')) == [
        stream('done\n2 of 2\n')
    ]
    assert (
        outputs(
            result(**{'application/vnd.jupyter.widget-view+json': {'model_id': 'x'}, 'text_plain': '0it'})
        )
        == []
    )
    assert outputs(result(text_html='<progress value=3></progress>', text_plain='x')) == []


def test_values_keep_what_they_say():
    table = (
        '<style>#T_b4811_row0_col0 {}</style><table id="T_b4811"><td id="T_b4811_row0_col0">5</td></table>\n'
    )
    styled, markdown, plain = outputs(
        result(text_html=table, text_plain='<pandas.io.formats.style.Styler at 0x7ff21a89d1d0>'),
        result(text_markdown='**yes**', text_plain='<IPython.core.display.Markdown object>'),
        result(text_plain=['a\n', 'b']),
    )
    assert (
        list(styled['data']) == ['text/html']
        and 'T_b4811' not in styled['data']['text/html'][0]
        and styled['data']['text/html'][0].count('T_a-0') == 3
    )
    assert (
        markdown['data'] == {'text/markdown': ['**yes**']}
        and plain['data'] == {'text/plain': ['a\n', 'b']}
        and plain['execution_count'] == 2
    )
    assert outputs(result(text_plain='<thing.Thing at 0x7ff21a89d1d0>'))[0]['data'] == {
        'text/plain': ['thing.Thing']
    }


def test_pictures_keep_their_alt_text():
    film = shown(noisy())
    film['data']['text/plain'] = '<IPython.core.display.Image object>'
    for picture in outputs(shown(noisy()), film):
        assert picture['metadata'] == {'image/png': {'alt': 'a disc'}} and picture['data']['text/plain'] == [
            'a disc'
        ]


def test_a_notebook_full_of_noise_becomes_small_enough():
    big = executed(*(shown(noisy(700, seed=k)) for k in range(4)))
    assert len(publish.written(big)) > 1.5 * publish.ROOM
    clean = presentable(big)
    assert len(publish.written(clean)) <= publish.ROOM
    assert publish.written(presentable(clean)) == publish.written(clean), 'what is presentable stays as it is'


def test_a_run_is_published(finished):
    path, numbers = finished.home / 'notebooks' / '01_a.ipynb', finished.home / 'measured' / 'quick.json'
    source = json.loads(path.read_text())
    publish.publish(finished)
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
                lambda n: n['cells'][-1]['outputs'].append(stream('x' * 1_600_000)),
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
    """make nbdiff, with the project's own nbdime_config.json: outputs and stamps are passed over, prose and parameters are not."""

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
