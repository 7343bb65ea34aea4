"""One run of the study: its folder, and the stage cache.

A run is a folder `runs/<name>/`.  Every expensive step is a *stage*: a sub-folder that appears whole or not
at all, with a `provenance.json` whose key says what it was made from.  A stage whose key is unchanged is
loaded, never made again.
"""

import json
import shutil
import time
from pathlib import Path

from genmix import StudyError
from genmix.run.files import atomic_write, file_lock, replace_folder
from genmix.run.log import log
from genmix.run.provenance import environment, key_of


def home() -> Path:
    """The folder that holds params/ and runs/: the nearest one at or above the working directory."""
    here = Path.cwd()
    return next((f for f in (here, *here.parents) if (f / 'params' / 'cpu.yaml').exists()), here)


def stage_name(kind: str, name: str, fold: int = 0) -> str:
    """Name of a stage that each fold has: `synthetic/dcgan`, `synthetic/dcgan-f1`."""
    return f'{kind}/{name}' + (f'-f{fold}' if fold else '')


class Study:
    """The run folder `runs/<run>`; it appears when something is written.

    study = Study(run)
    folder = study.stage('generators/dcgan', build, params=..., inputs=[train.content_hash])
    """

    def __init__(self, run: str = 'scratch', home_dir: Path | str | None = None):
        self.run = run
        self.home = Path(home_dir or home())
        self.folder = self.home / 'runs' / run

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
            return json.loads((self.folder / name / 'provenance.json').read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def key(self, name: str) -> str:
        """The key of stage `name`, '' when it is not there."""
        return self.provenance(name).get('key', '')

    def need(self, name: str, notebook: str) -> Path:
        """Folder of stage `name`; StudyError with the make target that brings it when it is missing."""
        if not self.key(name):
            raise StudyError(
                f'runs/{self.run}/{name} is missing: run `make {notebook} RUN={self.run}` first.'
            )
        return self.folder / name

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
        work = final.parent / f'.{final.name}.{key}'
        with file_lock(final.parent / f'.{final.name}.lock'):
            if self.key(name) == key:
                log.info(f'{name}: cached (key {key})')
                return final
            work.mkdir(parents=True, exist_ok=True)
            start = time.time()
            build(work)
            seconds = time.time() - start
            about = self._about(name, key, params, inputs) | {'seconds': round(seconds, 1), **environment()}
            (work / 'provenance.json').write_text(json.dumps(about, indent=1, default=str))
            replace_folder(work, final)
            for stale in final.parent.glob(f'.{final.name}.????????????????'):
                shutil.rmtree(stale)
        self.note_time(name, seconds)
        log.info(f'{name}: made in {seconds:.0f} s (key {key})')
        return final

    def sign(self, name: str, params=None, inputs=()) -> None:
        """Provenance for a folder of other stages or single files; untouched when nothing changed."""
        key = key_of(params or {}, inputs)
        if self.key(name) != key:
            about = self._about(name, key, params, inputs) | environment()
            with atomic_write(self.path(name, 'provenance.json')) as part:
                part.write_text(json.dumps(about, indent=1, default=str))

    @staticmethod
    def _about(name, key, params, inputs):
        return {'key': key, 'stage': name, 'params': params, 'inputs': list(map(str, inputs))}

    def note_time(self, stage: str, seconds: float) -> None:
        """Add one line to timings.csv (stage, seconds)."""
        path = self.path('timings.csv')
        with file_lock(self.path('.timings.lock')):
            lines = path.read_text() if path.exists() else 'stage,seconds\n'
            with atomic_write(path) as part:
                part.write_text(f'{lines}{stage},{seconds:.1f}\n')

    def figure(self, fig, name: str):
        """Save a figure of genmix.plots, alt text inside, as figures/<name>.png and .svg; return it."""
        for kind in ('png', 'svg'):
            with atomic_write(self.path('figures', f'{name}.{kind}')) as part:
                getattr(fig, 'save', lambda path, kind, title: fig.savefig(path, format=kind))(
                    part, kind, name
                )
        return fig
