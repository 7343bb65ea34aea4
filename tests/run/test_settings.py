import pytest

from genmix import StudyError
from genmix.run.notebooks import Parameter
from genmix.run.settings import asked, read_settings, split_set

KINDS = {
    'seed': Parameter('seed', 0),
    'alpha': Parameter('alpha', 0.4),
    'data_dir': Parameter('data_dir', ''),
    'revision': Parameter('revision', None, optional=True),
    'arms': Parameter('arms', ['all']),
    'plugins': Parameter('plugins', []),
    'lesions': Parameter('lesions', [1, 2]),
    'download': Parameter('download', False),
    'plugin_params': Parameter('plugin_params', {}),
}


def read(text):
    return read_settings(split_set(text), KINDS.get)


@pytest.mark.parametrize(
    'path',
    [
        '/x/run #2',
        "/x/O'Brien",
        '/x/archive (1)',
        '/x/a: b',
        '2024-01-05',
        '/x$HOME/y',
        '/a b/c',
        '012',
        'null',
        '1e3',
        'yes',
        '/a;b&c>d|e`f`',
        '~/x',
        '[a]',
        '{a}',
        '*x',
        'a\\b',
    ],
)
def test_a_path_stays_the_text_that_was_typed(path):
    assert read(f'seed=1 data_dir={path} alpha=0.2') == {'seed': 1, 'data_dir': path, 'alpha': 0.2}
    assert read(f'data_dir="{path}"') == {'data_dir': path}


def test_quotes_hold_what_looks_like_the_next_key():
    assert read("data_dir='/a b=c/d' seed=3") == {'data_dir': '/a b=c/d', 'seed': 3}


def test_values_have_the_type_of_their_parameter():
    said = "seed=012 alpha=1e-3 arms=[none, 'a,b'] plugins=[/x #2.py] lesions=[08, 10] download=True"
    assert read(said + " revision=main plugin_params='{rule: {a: 1}}'") == {
        'seed': 12,
        'alpha': 0.001,
        'arms': ['none', 'a,b'],
        'plugins': ['/x #2.py'],
        'lesions': [8, 10],
        'download': True,
        'revision': 'main',
        'plugin_params': {'rule': {'a': 1}},
    }
    assert read('revision=null data_dir= plugins=[]') == {'revision': None, 'data_dir': '', 'plugins': []}


def test_what_does_not_read_stays_text_for_the_check_of_types():
    assert read('seed=2.5 alpha=high lesions=3 download=maybe other=1') == {
        'seed': '2.5',
        'alpha': 'high',
        'lesions': '3',
        'download': 'maybe',
        'other': '1',
    }


@pytest.mark.parametrize('text', ['alpha = 0.2', 'alpha', '/a/b'])
def test_a_set_without_pairs_is_one_sentence(text):
    with pytest.raises(StudyError, match='SET takes key=value without spaces around "="'):
        read(text)


def test_the_command_line_comes_before_the_environment(monkeypatch):
    monkeypatch.setenv('GENMIX_SET', ' seed=1 data_dir=/a b')
    assert asked() == [('seed', '1'), ('data_dir', '/a b')]
    assert asked(['data_dir=x=y z']) == [('data_dir', 'x=y z')]
    with pytest.raises(StudyError, match='--set takes key=value'):
        asked(['alpha'])
    monkeypatch.delenv('GENMIX_SET')
    assert asked() == []


def test_yaml_that_does_not_read_is_named():
    with pytest.raises(StudyError, match='value of plugin_params in SET does not read as YAML'):
        read('plugin_params={a: [')
