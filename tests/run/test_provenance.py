import importlib
import importlib.util
import os
import subprocess
import sys

import pytest
from conftest import ROOT

from genmix import StudyError
from genmix.audit import judge
from genmix.classifier import trials
from genmix.data import build
from genmix.generators import known
from genmix.run import imports, provenance
from genmix.run.notebooks import notebooks
from genmix.run.provenance import code_key, key_of, without_docstrings

GENERATORS = ('dcgan', 'stylegan', 'textual_inversion', 'diffusion', 'oracle')


def owners():
    """What the stages of a phantom run are keyed by:

    generators, the cohort, classifiers, the reference classifier.
    """
    every = known()
    found = {name: every[name] for name in GENERATORS}
    reader = importlib.import_module(build.READERS['phantom'][0])
    return found | {'cohort': build.make_cohort, 'phantom': reader, 'trials': trials.run, 'judge': judge}


def moved_by(monkeypatch, *files):
    """Names of `owners` whose key an edit of these files of genmix/ changes."""
    before = {name: code_key(owner) for name, owner in owners().items()}
    paths, read = [ROOT / 'genmix' / file for file in files], provenance.code_of_file
    assert all(path.exists() for path in paths)
    with monkeypatch.context() as patch:
        patch.setattr(provenance, 'code_of_file', lambda f: read(f) + ('edited' if f in paths else ''))
        return {name for name, owner in owners().items() if code_key(owner) != before[name]}


def test_an_edit_reaches_every_generator_that_stands_on_it(monkeypatch):
    assert {'dcgan', 'stylegan', 'textual_inversion', 'trials'} <= moved_by(monkeypatch, 'data/sampling.py')
    assert {'diffusion', 'textual_inversion'} <= moved_by(monkeypatch, 'data/images.py')
    assert moved_by(monkeypatch, 'generators/pretrained/captions.py') >= {'textual_inversion'}
    assert moved_by(monkeypatch, 'generators/latent/training_loop.py') == {'diffusion', 'textual_inversion'}
    assert moved_by(monkeypatch, 'generators/gan/ada.py') == {'stylegan'}
    assert {'trials', 'judge'} == moved_by(monkeypatch, 'mixing/rules.py')
    assert 'trials' in moved_by(monkeypatch, 'run/device.py')


def test_what_a_phantom_run_does_not_use_changes_none_of_its_keys(monkeypatch):
    readers = [f.relative_to(ROOT / 'genmix') for f in (ROOT / 'genmix/data/readers').rglob('*.py')]
    assert len(readers) > 5 and not moved_by(monkeypatch, *readers)
    harness = ['run/study.py', 'run/log.py', 'run/runner.py', 'run/parallel.py', 'run/provenance.py']
    assert not moved_by(monkeypatch, *harness)
    assert not moved_by(
        monkeypatch, *(f.relative_to(ROOT / 'genmix') for f in (ROOT / 'genmix/plots').glob('*.py'))
    )


def test_key_is_about_code_not_prose():
    one = without_docstrings('"""Doc."""\ndef f(x):\n    "doc"\n    return x + 1\n')
    assert one == without_docstrings(
        '"""Other."""\n\n# why\ndef f(x):\n    "other"\n    return (x + 1)  # plus\n'
    )
    assert one != without_docstrings('def f(x):\n    return x + 2\n')
    assert key_of({'a': 1, 'b': 2}) == key_of({'b': 2, 'a': 1}) != key_of({'a': 1, 'b': 3})
    assert key_of({}, code=trials) != key_of({}, code=judge) != key_of({})


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_helper_modules_of_a_plugin_count(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    keys = []
    for number, name in enumerate(('plugin_a', 'plugin_b')):  # a file is read once in a process
        (tmp_path / f'helper_{name}.py').write_text(f'VALUE = {number}\n')
        (tmp_path / f'{name}.py').write_text(f'import helper_{name} as helper\n\nclass Mine:\n    pass\n')
        files = imports.closure([tmp_path / f'{name}.py'])
        assert [f.name for f in files] == [f'helper_{name}.py', f'{name}.py']
        keys.append(code_key(load(tmp_path / f'{name}.py').Mine))
    assert keys[0] != keys[1]


def test_what_has_no_file_counts_as_its_own_source(monkeypatch):
    namespace = {'__name__': 'a_session'}
    with pytest.raises((OSError, TypeError)):
        exec('class Mine: pass', namespace)
        code_key(namespace['Mine'])


def test_make_and_the_cache_follow_the_same_graph():
    """Whatever a stage of a notebook is keyed by, make has among the prerequisites of that notebook."""
    every = {nb.name: set(nb.modules) for nb in notebooks()}
    for name, owner in owners().items():
        where = {
            'cohort': '01_data',
            'phantom': '01_data',
            'trials': '08_classification',
            'judge': '06_generator_audit',
        }
        notebook = where.get(name) or getattr(owner, 'notebook', '') or '07_genmix'
        module = sys.modules[getattr(owner, '__module__', getattr(owner, '__name__', ''))]
        assert set(imports.closure([ROOT / module.__file__])) <= every[notebook], name


def test_a_key_is_of_the_code_that_was_imported(tmp_path):
    """A module edited while a run goes: its results are filed under no key, rather than under a wrong one."""
    plugin, helper = tmp_path / 'mine.py', tmp_path / 'helper.py'
    plugin.write_text('import helper\n\nclass Mine:\n    value = helper.VALUE\n')
    helper.write_text('VALUE = 1\n')
    steps = """
import sys
from pathlib import Path
from genmix import StudyError
from genmix.run.plugins import load_plugins
from genmix.run.provenance import code_key
plugin, helper, text = sys.argv[1:]
load_plugins([plugin])
Path(helper).write_text(text)
try:
    print('key', code_key(sys.modules['genmix_plugin_mine'].Mine))
except StudyError as error:
    print(error)
"""

    def key(text):
        command = [sys.executable, '-c', steps, plugin, helper, text]
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {'PYTHONPATH': str(ROOT)}
        )
        return done.stdout.strip() or done.stderr

    first = key('VALUE = 1\n')
    assert first.startswith('key ')
    assert key('VALUE = 1  # one\n') == first, 'a comment is no other code'
    said = key('VALUE = 2\n')
    assert said == 'helper.py was edited while this process ran: start it, or the kernel, again.'
    assert key('VALUE = 2\n').startswith('key ') and key('VALUE = 2\n') != first
    assert 'was edited' in key('VALUE = (')


def test_an_edit_of_the_package_after_it_was_imported_is_noticed(monkeypatch):
    file = ROOT / 'genmix' / 'data' / 'sampling.py'
    monkeypatch.setitem(imports._sources, file, imports.source(file) + '\nEDITED = 1\n')
    provenance.code_of_file.cache_clear()
    with pytest.raises(StudyError, match='sampling.py was edited while this process ran'):
        code_key(trials)
    provenance.code_of_file.cache_clear()
