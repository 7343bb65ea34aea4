import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from genmix import StudyError
from genmix.run import log
from genmix.run import study as study_module
from genmix.run.files import atomic_write
from genmix.run.study import Study


def test_stage_is_built_once_and_again_when_something_changes(study):
    calls = []

    def build(out):
        return (calls.append(1), (out / 'x').write_text('1'))

    for _ in range(2):
        folder = study.stage('a/b', build, {'p': 1}, ['in'])
    assert len(calls) == 1 and (folder / 'x').exists()
    study.stage('a/b', build, {'p': 2}, ['in'])
    study.stage('a/b', build, {'p': 2}, ['other'])
    study.stage('a/b', build, {'p': 2}, ['other'], code=log)
    assert len(calls) == 4
    about = study.provenance('a/b')
    assert about['params'] == {'p': 2} and about['packages']['torch'] and 'seconds' in about


def test_errors_leave_nothing(study):
    def build(out):
        (out / 'half').write_text('x')
        raise RuntimeError

    with pytest.raises(RuntimeError):
        study.stage('a', build)
    assert not (study.folder / 'a').exists() and study.key('a') == ''


def test_a_new_build_replaces_the_old_folder_whole(study):
    study.stage('a', lambda out: (out / 'old').write_text('x'), {'v': 1})
    study.stage('a', lambda out: (out / 'new').write_text('x'), {'v': 2})
    assert sorted(p.name for p in (study.folder / 'a').iterdir()) == ['new', 'provenance.json']
    assert [p.name for p in study.folder.iterdir() if p.name.startswith('.a.')] == ['.a.lock']


def _slow(folder):
    def build(out):
        (out / 'checkpoint').write_text('step 5')
        time.sleep(60)

    Study('test', folder).stage('a', build)


def test_a_killed_build_resumes_in_its_own_folder(project):
    child = multiprocessing.get_context('fork').Process(target=_slow, args=(project,))
    child.start()
    study = Study('test', project)
    while not list(study.folder.glob('.a.*/checkpoint')):
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert not (study.folder / 'a').exists()
    # `build` is another function here, but of the same file
    study.stage('a', lambda out: (out / 'done').write_text((out / 'checkpoint').read_text()))
    assert (study.folder / 'a' / 'done').read_text() == 'step 5'


def _count(folder):
    def build(out):
        time.sleep(0.2)
        with open(folder / 'builds', 'a') as f:
            f.write('x')

    Study('test', folder).stage('a', build)


def test_parallel_processes_build_once(project):
    context = multiprocessing.get_context('fork')
    children = [context.Process(target=_count, args=(project,)) for _ in range(4)]
    [c.start() for c in children], [c.join() for c in children]
    assert (project / 'builds').read_text() == 'x'


def test_atomic_write_leaves_the_old_file_on_error(tmp_path):
    path = tmp_path / 'sub' / 'f.txt'
    with atomic_write(path) as part:
        part.write_text('one')
    with pytest.raises(RuntimeError), atomic_write(path) as part:
        part.write_text('two')
        raise RuntimeError
    assert path.read_text() == 'one' and [p.name for p in path.parent.iterdir()] == ['f.txt']


def test_sign_leaves_the_file_alone_when_nothing_changed(study):
    study.sign('p', {'a': 1})
    before = study.path('p', 'provenance.json').stat().st_mtime_ns
    study.sign('p', {'a': 1})
    assert study.path('p', 'provenance.json').stat().st_mtime_ns == before
    study.sign('p', {'a': 2})
    assert study.path('p', 'provenance.json').stat().st_mtime_ns > before


def test_a_study_makes_no_folder_before_something_is_written(project):
    study = Study('typo', project)
    assert study.key('a') == '' and not study.folder.exists()
    study.path('a', 'b')
    assert study.folder.exists()


def test_log_lines_carry_the_mark_and_can_be_silenced(capsys):
    log.log.info('one')
    with log.quiet():
        log.log.info('two')
        log.log.warning('three')
    log.log.info('four')
    assert capsys.readouterr().out.splitlines() == [f'{log.MARK} {word}' for word in ('one', 'three', 'four')]


def test_need_names_the_make_target(study):
    with pytest.raises(StudyError, match='make 01_data RUN=test'):
        study.need('cohort', '01_data')


def test_a_torn_provenance_is_no_provenance(study):
    study.path('a', 'provenance.json').write_text('{"key": "12')
    assert study.key('a') == ''


def test_progress_passes_everything_on(monkeypatch, capsys):
    monkeypatch.setenv('GENMIX_HEADLESS', '1')
    clock = iter(range(0, 10000, 5))
    monkeypatch.setattr(study_module.time, 'time', lambda: next(clock))
    assert list(log.progress(range(20), 'x')) == list(range(20))
    lines = capsys.readouterr().err.splitlines()  # headless: published outputs leave stderr out
    assert len(lines) == 10 and lines[-1].startswith(f'{log.MARK} x: 20 of 20')


def test_timings_gather(study):
    study.stage('a', lambda out: None)
    study.note_time('notebook x', 1.26)
    assert study.path('timings.csv').read_text().splitlines()[0] == 'stage,seconds'
    assert study.path('timings.csv').read_text().splitlines()[-1] == 'notebook x,1.3'


def test_home_is_found_from_below(project, monkeypatch):
    (project / 'notebooks').mkdir()
    monkeypatch.chdir(project / 'notebooks')
    assert study_module.home() == project and json.dumps(str(Study('s').folder)) == json.dumps(
        str(project / 'runs' / 's')
    )


def test_what_a_killed_process_left_of_a_file_goes_when_the_file_is_written_again(tmp_path):
    dead = subprocess.Popen(['true'])
    dead.wait()
    (tmp_path / f'.a.txt.{dead.pid}.part').write_text('half')
    (tmp_path / f'.a.txt.{os.getppid()}.part').write_text('of another that is still writing')
    with atomic_write(tmp_path / 'a.txt') as part:
        part.write_text('done')
    assert sorted(p.name for p in tmp_path.iterdir()) == [f'.a.txt.{os.getppid()}.part', 'a.txt']


def made(study, name='a'):
    """A stage of two files, one of them in a sub-folder."""

    def build(out):
        (out / 'sub').mkdir()
        (out / 'x.bin').write_bytes(b'0123456789')
        (out / 'sub' / 'y.csv').write_text('a,b\n1,2\n')

    return study.stage(name, build)


def flip(path):
    """Flip one bit of a file; size and time of modification stay."""
    about, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


@pytest.mark.parametrize(
    'file, damage',
    [
        ('x.bin', flip),
        ('sub/y.csv', flip),
        ('x.bin', lambda p: p.write_bytes(b'01234')),
        ('sub/y.csv', lambda p: p.write_text('a,b\n2,1\n')),
        ('x.bin', lambda p: p.write_bytes(b'')),
        ('x.bin', lambda p: p.unlink()),
        ('sub', shutil.rmtree),
    ],
)
def test_a_damaged_stage_is_named_and_made_again(study, capsys, file, damage):
    folder = made(study)
    before = {p: p.read_bytes() for p in folder.rglob('*.*') if p.name != 'provenance.json'}
    assert study.need('a', '01_data') == folder and not study.damaged('a')
    stamp = (folder / 'provenance.json').stat().st_mtime_ns
    damage(folder / file)
    named = 'sub/y.csv' if file == 'sub' else file
    with pytest.raises(StudyError, match=f'runs/test/a/{named} is not as it was written: run `make 01_data'):
        study.need('a', '01_data')
    made(study)
    assert f'a/{named} is not as it was written: a is made again' in capsys.readouterr().out
    assert {p: p.read_bytes() for p in before} == before and not study.damaged('a')
    assert (folder / 'provenance.json').stat().st_mtime_ns == stamp, 'make would execute what stands on it'


def test_what_a_folder_of_stages_holds_itself_is_checked_too(study):
    made(study, 'audit/b')
    card = study.path('audit', 'card.csv')
    card.write_text('1')
    study.sign('audit', {'a': 1})
    assert list(study.provenance('audit')['files']) == ['card.csv']
    flip(card)
    assert study.damaged('audit') == 'audit/card.csv'
    card.write_text('2')
    study.sign('audit', {'a': 1})
    assert not study.damaged('audit')


def test_a_stage_of_an_older_version_has_no_checksums_and_is_taken_as_it_is(study):
    path = made(study) / 'provenance.json'
    about = json.loads(path.read_text())
    del about['files']
    path.write_text(json.dumps(about))
    flip(study.folder / 'a' / 'x.bin')
    assert study.need('a', '01_data')


@pytest.mark.parametrize('text', ['[]', '3', '\xff\xfe', ''])
def test_a_damaged_provenance_makes_the_stage_again(study, text):
    path = made(study) / 'provenance.json'
    path.write_bytes(text.encode('latin1'))
    assert study.key('a') == ''
    assert study.key(made(study).name) != ''


def test_what_is_written_is_on_the_disk_before_it_has_its_name(study, monkeypatch):
    calls = []
    monkeypatch.setattr(os, 'fsync', lambda fd: calls.append(os.readlink(f'/proc/self/fd/{fd}')))
    monkeypatch.setattr(os, 'replace', lambda a, b: calls.append(f'replace {b}'))
    monkeypatch.setattr(os, 'rename', lambda a, b: calls.append(f'rename {b}'))
    with atomic_write(study.path('f.txt')) as part:
        part.write_text('x')
    assert 'f.txt' in calls[0] and calls[1] == f'replace {study.folder / "f.txt"}'
    calls.clear()
    made(study)
    last = calls.index(f'rename {study.folder / "a"}')
    before = {name for call in calls[:last] for name in ('x.bin', 'y.csv', 'provenance.json') if name in call}
    assert before == {'x.bin', 'y.csv', 'provenance.json'}


def test_windows_is_one_sentence():
    code = (
        'import sys; sys.modules["fcntl"] = None\n'
        'try: import genmix.run.study\n'
        'except ImportError as error: print(error)'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == 'genmix locks files as Linux and macOS do: on Windows, run it inside WSL.\n'


def test_home_is_not_guessed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match='is not in a copy of the study: change into the folder that holds'):
        Study('s')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['', '.', '../escaped', 'a/b', '/x', 'a b', '*'])
def test_a_study_takes_only_names(project, name):
    with pytest.raises(StudyError, match='a name begins with a letter or a digit'):
        Study(name, project)
