"""The long run: each cohort is an ordinary run folder, made by make, and one small file that is committed.

A unit of work is a cohort.  Everything in it is a stage of its run, so that one that was stopped goes on
where it was, on this or any other machine that sees the folder.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from genmix import StudyError
from genmix.generators import PAPER
from genmix.mixing.arms import arms_for, settings
from genmix.results.cohorts import pack_run
from genmix.results.contrasts import METHODS, tuned
from genmix.results.protocol import steps_of_contrasts
from genmix.run.files import PROVENANCE
from genmix.run.log import MARK, log
from genmix.run.study import Study

FIRST, DEV = 100, 9000  # seeds of the cohorts of PROTOCOL.md, and from which on they are for development
GOALS = ('06_generator_audit', '08_classification')  # and all that they need
PROFILE = 'cpu'  # of the protocol
# Of a finished cohort these stay: what was asked, how each stage was made, tables, predictions.  Images,
# weights, figures and notebooks can be made again.
KEPT = ('.json', '.yaml', '.csv', '.gz', '.log')
CHILDREN: set[subprocess.Popen] = set()
INHERITED = ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS', 'GENMIX_SET')  # of the make that called: not for these runs


def seeds_of(text: str, name: str = 'COHORTS') -> list[int]:
    """Seeds of cohorts: '24' are 24 from FIRST on, '100-111' those, '103' or '100,105,9000-9003' as well.

    A number below FIRST counts cohorts.  StudyError for anything else, which says `name`.
    """
    found: list[int] = []
    for part in text.replace(' ', '').split(','):
        if not (match := re.fullmatch(r'(\d+)(?:-(\d+))?', part)):
            raise StudyError(f'{name} is "{text}": give a number of cohorts, or seeds such as 100-111.')
        low, high = int(match[1]), int(match[2] or match[1])
        if match[2] is None and low < FIRST:
            low, high = FIRST, FIRST + low - 1
        found += range(low, high + 1)
    found = list(dict.fromkeys(found))
    if not found or min(found) < FIRST:
        raise StudyError(
            f'{name} is "{text}": cohorts have seeds from {FIRST} on, dev cohorts from {DEV} on.'
        )
    return found


def is_confirmatory(seed: int) -> bool:
    """Whether a cohort is one of the protocol, not one for development."""
    return FIRST <= seed < DEV


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every cohort of a long run is asked.

    profile   of params/         extra   SET beside that of the plan
    steps     optimiser steps of all arms but the tuned ones; 0: those of the profile
    tuned     arms that the factorial lacks, of another length or balance, by name
    lengths   their steps
    """

    profile: str = PROFILE
    extra: str = ''
    steps: int = 0
    tuned: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()

    def asked(self, seed: int) -> str:
        """SET of one cohort."""
        words = [f'seed={seed}', 'seeds=1', f'arms=[{",".join(("all", *self.tuned))}]']
        if self.lengths:
            words.append(f'lengths=[{",".join(map(str, self.lengths))}]')
        if self.steps:
            words.append(f'08_classification.steps={self.steps}')
        return ' '.join([*words, self.extra]).strip()  # of one key given twice, the last value counts

    def run(self, seed: int) -> str:
        """Name of the run of one cohort: study-<seed>, with the profile where it is not the protocol's."""
        return f'study-{seed}' if self.profile == PROFILE else f'study-{self.profile}-{seed}'

    def folder(self, home: Path, seed: int) -> Path:
        """Where the file of one cohort goes: measured/study, or a folder of runs/ for development."""
        if is_confirmatory(seed) and self.profile == PROFILE:
            return home / 'measured' / 'study'
        return home / 'runs' / f'cohorts-{self.profile}'

    @property
    def about(self) -> dict:
        """What the files of its cohorts say beside what every run says of itself."""
        return {}


def confirmatory_plan(text: str, tuning: pd.DataFrame | None) -> Plan:
    """The plan of PROTOCOL.md, whose text is given; StudyError while its tuned settings are not filled in."""
    steps = steps_of_contrasts(text, tuning)
    assert tuning is not None
    usual = {replace(arm, name='', steps=steps) for arm in arms_for(PAPER).values()}
    arms = [arm for method in METHODS for arm in arms_of(tuned(tuning, method))]
    arms = [arm for arm in arms if replace(arm, name='', tuned=False) not in usual]  # trained anyway
    lengths = tuple(dict.fromkeys(arm.steps for arm in arms))
    return Plan(steps=steps, tuned=tuple(arm.name for arm in arms), lengths=lengths)


def arms_of(setting: pd.Series) -> list:
    """The arms of a tuned setting, one for each generator of the paper where it has one."""
    wanted = setting.method, setting.dose, setting.balance, setting.steps
    every = settings(PAPER, [int(setting.steps)])
    return [arm for arm in every if (arm.kind, arm.dose, arm.balance, arm.steps) == wanted]


def finish(seed: int, home: Path, plan: Plan, cores: int = 1, keep: bool = False) -> tuple[int, str]:
    """Make what is missing of one cohort, and its file cohort-<seed>.npz.

    cores   that its notebooks may use          keep   leave images, weights and notebooks in its run

    Returns (seed, what went wrong or '').
    """
    study = Study(plan.run(seed), home)
    failed = chain(study, plan.asked(seed), plan.profile, cores, f'cohort {seed}')
    if not failed:
        try:
            pack_run(study, **plan.about).save(plan.folder(Path(home), seed) / f'cohort-{seed}.npz')
        except StudyError as error:
            return seed, str(error)
        if not keep:
            tidy(study.folder)
    return seed, failed


def chain(study: Study, asked: str, profile: str, cores: int, label: str) -> str:
    """`make GOALS` in a run folder; its log goes to study.log there, its lines here with a label.

    Returns the line that says what went wrong, '' when all is made.
    """
    words = [f'PY={sys.executable}', 'ENV=', f'PYTHON={sys.executable}', f'CORES={cores}']
    words += [f'RUN={study.run}', f'PROFILE={profile}', f'SET={asked}']
    env = {name: value for name, value in os.environ.items() if name not in INHERITED}
    env |= {'LOKY_MAX_CPU_COUNT': str(cores), 'OMP_NUM_THREADS': '1'}
    command, last = ['make', '--no-print-directory', *GOALS, *words], ''
    with (
        open(study.path('study.log'), 'a', buffering=1, encoding='utf-8') as file,
        subprocess.Popen(
            command, cwd=study.home, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as child,
    ):
        CHILDREN.add(child)
        for line in child.stdout or ():
            file.write(line)
            if line.startswith(MARK):
                log.info(f'{label} | {line[len(MARK) :].strip()}')
            last = line.strip() if line.startswith('error: ') else last
    CHILDREN.discard(child)
    return '' if child.returncode == 0 else last or f'make ended with code {child.returncode}: see study.log'


def stop() -> None:
    """End what `chain` has begun in this process: the same command goes on where it was."""
    for child in list(CHILDREN):
        child.terminate()


def tidy(folder: Path) -> None:
    """Remove from a finished run what can be made again; parameters, provenance, tables, predictions stay."""
    for path in sorted(folder.rglob('*'), reverse=True):  # files of a folder before the folder
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif not path.name.endswith(KEPT) and path.name != PROVENANCE:
            path.unlink()
