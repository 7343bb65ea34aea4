"""One run of the study: its folder, and the stage cache.

A run is a folder `runs/<name>/`.  Every expensive step is a *stage*: a sub-folder that appears whole or not
at all, with a `provenance.json` whose key says what it was made from.  A stage whose key is unchanged is
loaded, never made again.
"""

import json
import os
import shutil
import time
from pathlib import Path

from genmix import StudyError
from genmix.run.files import (
    PROVENANCE,
    atomic_write,
    checksum,
    file_lock,
    first_damage,
    replace_folder,
    to_disk,
    written,
)
from genmix.run.interactive import check_parameters
from genmix.run.log import log
from genmix.run.names import check_name
from genmix.run.provenance import environment, key_of


def home() -> Path:
    """The folder that holds params/ and runs/: the nearest one at or above the working directory.

    StudyError when there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / 'params' / 'cpu.yaml').exists():
            return folder
    raise StudyError(f'{here} is not in a copy of the study: change into the folder that holds params/.')


def stage_name(kind: str, name: str, fold: int = 0) -> str:
    """Name of a stage that each fold has: `synthetic/dcgan`, `synthetic/dcgan-f1`."""
    return f'{kind}/{name}' + (f'-f{fold}' if fold else '')


class Study:
    """The run folder `runs/<run>`; it appears when something is written.

    StudyError for a name that reaches beyond one folder of runs/, and in a notebook in the browser whose
    parameters are not those that the run was made with: its stages would be replaced.

    study = Study(run)
    folder = study.stage('generators/dcgan', build, params=..., inputs=[train.content_hash])
    """

    def __init__(self, run: str = 'scratch', home_dir: Path | str | None = None):
        self.run = check_name(run, 'run')
        self.home = Path(home_dir or home())
        self.folder = self.home / 'runs' / run
        if not home_dir:
            check_parameters(self.folder)

    def __repr__(self):
        return f'Study(runs/{self.run})'

    def path(self, *parts: str) -> Path:
        """A path of a file to be written inside the run; its folder exists."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def outside(self, path: str) -> Path:
        """A path a user gave: absolute, from their home folder, or relative to the project."""
        return self.home / Path(path).expanduser()

    def provenance(self, name: str) -> dict:
        """The provenance of stage `name`, {} when it is not there."""
        try:
            about = json.loads((self.folder / name / PROVENANCE).read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return {}
        return about if isinstance(about, dict) else {}

    def key(self, name: str) -> str:
        """The key of stage `name`, '' when it is not there."""
        return self.provenance(name).get('key', '')

    def need(self, name: str, notebook: str) -> Path:
        """Folder of stage `name`; StudyError with the make target that brings it when it is missing.

        StudyError too when a file of it is no longer as it was written; that target makes it again.
        """
        remedy = f'run `make {notebook} RUN={self.run}`'
        if not self.key(name):
            raise StudyError(f'runs/{self.run}/{name} is missing: {remedy} first.')
        if damage := self.damaged(name):
            raise StudyError(f'runs/{self.run}/{damage} is not as it was written: {remedy} again.')
        return self.folder / name

    def damaged(self, name: str) -> str:
        """A file of stage `name` that is gone or not as it was written (by its checksum), as a path below the
        run; '' when none.
        """
        found = first_damage(self.folder / name, self.provenance(name).get('files', {}))
        return found and os.path.normpath(f'{name}/{found}')

    def stage(self, name, build, params=None, inputs=(), code=None) -> Path:
        """Folder of stage `name`, made by `build(folder)` unless it is there with the same key.

        params   what was asked, for the key and for provenance.json      inputs   fingerprints of what enters
        code     the class, function or module that does the work, where `build` only passes it on: the key
                 covers
                 its file and all that it imports in turn (see provenance.code_key)

        `build` works in a hidden folder that survives a kill, so that it may resume from its own
        checkpoints there; the folder takes its name only when `build` returned.  Raises what `build`
        raises.
        """
        params, final = params or {}, self.folder / name
        key = key_of(params, inputs, code or build)

        def waiting(process):
            log.info(f'{name}: waits for process {process}, which makes it')

        with file_lock(final.parent / f'.{final.name}.lock', waiting):
            if self.key(name) == key:
                if not (damage := self.damaged(name)):
                    log.info(f'{name}: cached (key {key})')
                    return final
                log.info(f'{damage} is not as it was written: {name} is made again')
            seconds = self._make(final, build, self._about(name, key, params, inputs))
        self.note_time(name, seconds)
        log.info(f'{name}: made in {seconds:.0f} s (key {key})')
        return final

    def _make(self, final, build, about):
        """Build a stage and put it into its place; returns seconds.

        One that comes out as it was before it was damaged keeps its provenance: make finds nothing newer.
        """
        work, before = final.parent / f'.{final.name}.{about["key"]}', self.provenance(about['stage'])
        work.mkdir(parents=True, exist_ok=True)
        start = time.time()
        build(work)
        seconds = time.time() - start
        about['files'] = {p.relative_to(work).as_posix(): checksum(p) for p in written(work)}
        if (before.get('key'), before.get('files')) == (about['key'], about['files']):
            shutil.copy2(final / PROVENANCE, work / PROVENANCE)
        else:
            about |= {'seconds': round(seconds, 1), **environment()}
            (work / PROVENANCE).write_text(json.dumps(about, indent=1, default=str), encoding='utf-8')
        to_disk(*written(work), work / PROVENANCE)
        replace_folder(work, final)
        for stale in final.parent.glob(f'.{final.name}.????????????????'):
            shutil.rmtree(stale)
        return seconds

    def sign(self, name: str, params=None, inputs=(), files=None, removed=False) -> None:
        """Provenance for a folder of other stages or single files; untouched when nothing changed.

        files     what of the run is of this making, for their checksums; None: what lies in the folder itself
        removed   a file found damaged is removed (`runner.forget_damaged`), where what makes it again only
                  looks whether it is there
        """
        key, folder = key_of(params or {}, inputs), self.folder / name
        files = written(folder, deep=False) if files is None else files
        files = {os.path.relpath(path, folder): checksum(path) for path in files}
        if self.key(name) != key or self.provenance(name).get('files') != files:
            about = self._about(name, key, params, inputs) | environment()
            about |= {'files': files} | ({'removed': True} if removed else {})
            with atomic_write(self.path(name, PROVENANCE)) as part:
                part.write_text(json.dumps(about, indent=1, default=str), encoding='utf-8')

    @staticmethod
    def _about(name, key, params, inputs):
        asked = {'key': key, 'stage': name, 'params': params, 'inputs': list(map(str, inputs))}
        return asked | {'notebook': os.environ.get('GENMIX_NOTEBOOK', '')}

    def note_time(self, stage: str, seconds: float) -> None:
        """Add one line to timings.csv (stage, seconds)."""
        path = self.path('timings.csv')
        with file_lock(self.path('.timings.lock')):
            lines = path.read_text() if path.exists() else 'stage,seconds\n'
            with atomic_write(path) as part:
                part.write_text(f'{lines}{stage},{seconds:.1f}\n')

    def figure(self, fig, name: str, caption: str = ''):
        """Save a figure of genmix.plots, alt text inside, as figures/<name>.png and .svg; return it.

        caption   one line below the figure: what to see
        """
        if caption:
            fig.set_caption(caption)
        for kind in ('png', 'svg'):
            with atomic_write(self.path('figures', f'{name}.{kind}')) as part:
                getattr(fig, 'save', lambda path, kind, title: fig.savefig(path, format=kind))(
                    part, kind, name
                )
        return fig
