"""The Makefile itself: names, SET, rules, clean.  A script that notes its words stands in for Python."""

import os
import subprocess
import sys
import time

import pytest
from conftest import shell_environment

FAKE = """#!/bin/sh
printf '%s|%s\\n' "$GENMIX_SET" "$*" >> said
"""
ODD = "data_dir=/x/O'Brien (1)/$HOME/$(HOME)/`id` #2;a&b>c"


@pytest.fixture
def said(clone):
    """The file of noted words; the clone has a stand-in for Python."""
    (clone / 'fake').write_text(FAKE)
    (clone / 'fake').chmod(0o755)
    (clone / 'said').write_text('')
    return clone / 'said'


def make(folder, *words, **variables):
    command = ['make', '--no-print-directory', 'ENV=', 'PY=./fake', f'PYTHON={sys.executable}', *words]
    env = shell_environment(folder) | variables
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


NO_NAMES = ['', ' ', 'a ', '.', '..', '../notebooks', '../*', '*', 'a b', 'link/', '/tmp/x', '-x', 'é']
NO_NAMES += ["it's", 'a;b', '`id`', '$x']


@pytest.mark.parametrize('name', NO_NAMES)
def test_make_takes_only_names(clone, said, name):
    for variable in ('RUN', 'PROFILE'):
        done = make(clone, 'clean', f'{variable}={name}')
        assert done.returncode == 2 and 'a name begins with a letter or a digit' in done.stderr, name
    assert len(list((clone / 'notebooks').iterdir())) > 10


def test_clean_says_what_goes_and_follows_no_link(clone, said):
    runs = clone / 'runs'
    (runs / 'real').mkdir(parents=True)
    (runs / 'real' / 'kept').write_text('x')
    (runs / 'link').symlink_to('real')
    done = make(clone, 'clean', 'RUN=link')
    assert 'runs/link is a link: the link goes' in done.stdout and (runs / 'real' / 'kept').exists()
    done = make(clone, 'clean', 'RUN=real')
    assert 'removing runs/real' in done.stdout and 'kept' in done.stdout and not (runs / 'real').exists()
    assert 'there is no runs/real' in make(clone, 'clean', 'RUN=real').stdout


def test_clean_leaves_a_run_that_is_being_made(clone, said):
    lock = clone / 'runs' / 'busy' / 'notebooks' / '.01_data.lock'
    lock.parent.mkdir(parents=True)
    lock.write_text(str(os.getpid()))
    done = make(clone, 'clean', 'RUN=busy')
    assert done.returncode == 2 and f'process {os.getpid()} executes a notebook of runs/busy' in done.stderr
    lock.write_text('')
    assert make(clone, 'clean', 'RUN=busy').returncode == 0 and not lock.exists()


def test_set_reaches_python_as_it_was_typed(clone, said):
    assert make(clone, 'all', f'SET={ODD}').returncode == 0
    lines = [line for line in said.read_text().splitlines() if '-m genmix' in line]
    assert len(lines) > 10 and {line.rpartition('|')[0] for line in lines} == {ODD}
    assert make(clone, 'all', SET=ODD).returncode == 0 and f'{ODD}|' in said.read_text().splitlines()[-1]


def test_the_long_run_is_asked_as_it_was_typed(clone, said):
    done = make(clone, 'study', f'SET={ODD}', 'COHORTS=9000-9003', 'DASK=tcp://a:1', 'KEEP=yes')
    assert done.returncode == 0
    asked = f'--cohorts 9000-9003 --profile cpu --set {ODD} --workers 0 --dask tcp://a:1 --keep'
    assert said.read_text().splitlines() == [f'{ODD}|-m tools.study {asked}', f'{ODD}|-m tools.readme']
    assert make(clone, 'study').returncode == 0
    assert '-m tools.study --cohorts 24 --profile cpu --set  --workers 0 --dask' in said.read_text()


def test_a_run_is_checked_once(clone, said):
    """Each check is a start of Python, and all that a make without anything to do costs."""
    run = clone / 'runs' / 'once'
    (run / 'notebooks').mkdir(parents=True)
    (run / 'params.yaml').write_text('')
    for goal in ('all', '02_dcgan'):
        said.write_text('')
        make(clone, goal, 'RUN=once')
        lines = said.read_text().splitlines()
        assert sum('--check' in line for line in lines) == 1 and '--check' in lines[0], goal
        assert any(line.endswith('02_dcgan') for line in lines), goal


@pytest.mark.parametrize('file', ['notebooks/09_results.ipynb', 'genmix/run/log.py', 'measured/quick.json'])
def test_a_file_dated_in_the_future_does_not_restart_make(clone, said, file):
    os.utime(clone / file, (time.time() + 86400,) * 2)
    for goal in ('help', 'runs/cpu/params.yaml'):
        subprocess.run(
            ['make', 'ENV=', 'PY=./fake', f'PYTHON={sys.executable}', goal],
            cwd=clone,
            env=shell_environment(clone),
            timeout=20,
            check=True,
            capture_output=True,
        )


def test_rules_follow_the_content_of_what_they_come_from(clone, said):
    rules, module = clone / '.rules.mk', clone / 'genmix' / 'run' / 'log.py'
    make(clone, 'runs/cpu/params.yaml')
    before = rules.stat().st_mtime_ns, module.stat()
    make(clone, 'runs/cpu/params.yaml')
    assert rules.stat().st_mtime_ns == before[0], 'nothing has changed'
    module.write_text(module.read_text() + '\nimport genmix.results.metrics\n')
    os.utime(module, ns=(before[1].st_atime_ns, 0))  # an edit that carries an old date
    make(clone, 'runs/cpu/params.yaml')
    assert 'genmix/results/metrics.py' in rules.read_text().split('01_data.ipynb:')[1].split('\n')[0]


def test_makes_that_write_the_rules_together_do_not_disturb_each_other(clone, said):
    command = ['make', 'ENV=', 'PY=./fake', f'PYTHON={sys.executable}', '-n', '02_dcgan']
    for _ in range(2):
        (clone / '.rules.mk').unlink(missing_ok=True)
        quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.PIPE, 'text': True}
        several = [
            subprocess.Popen([*command, f'RUN=r{i}'], cwd=clone, env=shell_environment(clone), **quiet)
            for i in range(4)
        ]
        assert [p.communicate()[1] for p in several] == [''] * 4
        assert not list(clone.glob('.rules.mk.*'))


def test_a_goal_that_nothing_makes_names_the_notebooks(clone, said):
    done = make(clone, '2_dcgan')
    assert done.returncode == 2 and 'nothing makes 2_dcgan' in done.stderr and '02_dcgan' in done.stderr


def test_rules_that_cannot_be_written_are_one_sentence(clone, said):
    (clone / '.rules.mk').unlink(missing_ok=True)
    (clone / '.rules.mk').mkdir()  # root may write to any folder
    (clone / '.rules.mk' / 'x').write_text('')
    done = make(clone, 'all', 'RULES=.rules.mk/x/y')
    assert done.returncode == 2 and 'give the study a folder that it may write to' in done.stderr
    (clone / '.rules.mk' / 'x').unlink()
    (clone / '.rules.mk').rmdir()


def test_an_old_python_is_named_before_any_traceback(clone):
    """The guard of the package, as an older Python reads it: it needs no newer syntax."""
    code = (clone / 'genmix' / '__init__.py').read_text()
    guard = code[: code.index('class StudyError')]
    for version in ((3, 6), (3, 10)):
        old = f'import sys\nsys.version_info = {version}\nsys.version = "{version} x"'
        shown = guard.replace('import sys', old)
        done = subprocess.run([sys.executable, '-c', shown], capture_output=True, text=True)
        assert done.returncode == 1 and done.stderr.startswith('error: Python 3.11 to 3.13 is needed')
    assert "f'" not in code, 'Python 2.7 would say SyntaxError'
