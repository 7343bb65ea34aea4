import json
import multiprocessing
import os
import signal
import subprocess
import time

import pytest

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
