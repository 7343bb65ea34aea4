"""One run of the study: who am I, where do I write, is it done.

A run is a folder `runs/<name>/`.  Every expensive step is a *stage*: a sub-folder that appears whole or not at all, with a
`provenance.json` whose key says what it was made from.  A stage whose key still stands is loaded, never made again.
"""
import ast
import fcntl
import glob
import hashlib
import inspect
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path

from genmix import StudyError

MARK = '▸'        # lines that begin so are the quiet log of a headless run
LIBRARIES = ('torch', 'torchvision', 'fastai', 'diffusers', 'transformers', 'numpy', 'scikit-learn')


def home():
    """The folder that holds params/ and runs/: the nearest one at or above the working directory."""
    here = Path.cwd()
    return next((f for f in (here, *here.parents) if (f / 'params' / 'cpu.yaml').exists()), here)


@cache
def code_of(thing):
    """What a module, class or function does, as text: comments, docstrings and layout do not count.

    Read once in a process: a module edited while a notebook is open counts from the kernel's next start, as its code does.
    """
    tree = ast.parse(inspect.cleandoc('\n' + inspect.getsource(thing)))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def key_of(params, inputs=(), source=()):
    """16 hex digits over everything a stage depends on: parameters, fingerprints of inputs, code."""
    parts = [json.dumps(params, sort_keys=True, default=str), *map(str, inputs), *map(code_of, source)]
    return hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:16]


def files_hash(root):
    """16 hex digits that change when the file `root`, or a file below the folder, is added, removed or edited; contents are not read."""
    files = [root] if root.is_file() else [p for p in root.rglob('*') if p.is_file()]
    rows = sorted((p.relative_to(root).as_posix(), p.stat().st_size, p.stat().st_mtime_ns) for p in files)
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def runs(process):
    """True while there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def whole(path):
    """Write a file through a temporary name: `path` appears complete, or stays as it was."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f'.{glob.escape(path.name)}.*.part'):       # by a process that was killed while it wrote
        if not runs(int(left.name.split('.')[-2])):
            left.unlink(missing_ok=True)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def only_one(path):
    """Hold a lock that ends with the process, so that parallel notebooks do not build one stage twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w') as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def say(text):
    print(f'{MARK} {text}', flush=True)


def progress(iterable, label, total=None):
    """A bar in the browser; headless, a quiet line at every tenth, some seconds apart."""
    total = len(iterable) if total is None else total
    if not os.environ.get('GENMIX_HEADLESS'):
        from tqdm.auto import tqdm
        yield from tqdm(iterable, desc=label, total=total)
        return
    start = last = time.time()
    tenth = 0
    for i, item in enumerate(iterable, 1):
        yield item
        if i * 10 // max(total, 1) > tenth and time.time() - last > 4:
            tenth, last = i * 10 // total, time.time()
            say(f'{label}: {i} of {total}, {last - start:.0f} s')


def git_commit():
    """Short hash of the commit that is checked out, '+' when files differ from it, '' outside git."""
    run = lambda *a: subprocess.run(['git', '-C', str(Path(__file__).parent), *a], capture_output=True, text=True)
    try:
        head = run('rev-parse', '--short=12', 'HEAD')
        return head.stdout.strip() + ('+' if run('status', '--porcelain').stdout.strip() else '') if head.returncode == 0 else ''
    except OSError:
        return ''


def circumstances():
    """Where and with what a stage was made."""
    about = {'git': git_commit(), 'python': platform.python_version(), 'machine': platform.machine(),
             'packages': {name: metadata.version(name) for name in LIBRARIES}}
    if 'torch' in sys.modules:
        torch = sys.modules['torch']
        about |= {'device': torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu',
                  'threads': torch.get_num_threads()}
    return about


class Study:
    """The run folder `runs/<run>`.

    study = Study(run)
    folder = study.stage('generators/dcgan', build, params=..., inputs=[train.content_hash], source=[dcgan])
    """

    def __init__(self, run='scratch', home_dir=None):
        self.run = run
        self.home = Path(home_dir or home())
        self.folder = self.home / 'runs' / run
        self.folder.mkdir(parents=True, exist_ok=True)

    def __repr__(self):
        return f'Study(runs/{self.run})'

    def path(self, *parts):
        """A path inside the run; its folder exists."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def outside(self, path):
        """A path a user gave: absolute, from their home folder, or relative to the project."""
        return self.home / Path(path).expanduser()

    def provenance(self, name):
        """The provenance of stage `name`, {} when it is not there."""
        try:
            return json.loads((self.folder / name / 'provenance.json').read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def key(self, name):
        return self.provenance(name).get('key', '')

    def need(self, name, notebook):
        """Folder of stage `name`; StudyError with the make target that brings it when it is missing."""
        if not self.key(name):
            raise StudyError(f'runs/{self.run}/{name} is missing: run `make {notebook} RUN={self.run}` first.')
        return self.folder / name

    def stage(self, name, build, params=None, inputs=(), source=()):
        """Folder of stage `name`, made by `build(folder)` unless it stands already with the same key.

        `build` works in a hidden folder that survives a kill, so that it may resume from its own checkpoints there; the
        folder takes its name only when `build` returned.  Raises what `build` raises.
        """
        params, final = params or {}, self.folder / name
        key = key_of(params, inputs, source)
        work = final.parent / f'.{final.name}.{key}'
        with only_one(final.parent / f'.{final.name}.lock'):
            if self.key(name) == key:
                say(f'{name}: kept (key {key})')
                return final
            work.mkdir(parents=True, exist_ok=True)
            start = time.time()
            build(work)
            seconds = time.time() - start
            about = {'key': key, 'stage': name, 'params': params, 'inputs': list(map(str, inputs)),
                     'seconds': round(seconds, 1), **circumstances()}
            (work / 'provenance.json').write_text(json.dumps(about, indent=1, default=str))
            replace_folder(work, final)
            for stale in final.parent.glob(f'.{final.name}.????????????????'):
                shutil.rmtree(stale)
        self.note_time(name, seconds)
        say(f'{name}: made in {seconds:.0f} s (key {key})')
        return final

    def sign(self, name, params=None, inputs=()):
        """Provenance for a folder that holds other stages or single files; untouched when nothing changed."""
        key = key_of(params or {}, inputs)
        if self.key(name) != key:
            about = {'key': key, 'stage': name, 'params': params, 'inputs': list(map(str, inputs)), **circumstances()}
            with whole(self.path(name, 'provenance.json')) as part:
                part.write_text(json.dumps(about, indent=1, default=str))

    def note_time(self, stage, seconds):
        """Add one line to timings.csv (stage, seconds)."""
        path = self.path('timings.csv')
        with only_one(self.path('.timings.lock')):
            lines = path.read_text() if path.exists() else 'stage,seconds\n'
            with whole(path) as part:
                part.write_text(f'{lines}{stage},{seconds:.1f}\n')

    def figure(self, fig, name):
        """Save a matplotlib figure, and its alt text inside, as figures/<name>.png and .svg, and return it."""
        from genmix.plots.style import save     # here, so that a run without figures needs no matplotlib
        for kind in ('png', 'svg'):
            with whole(self.path('figures', f'{name}.{kind}')) as part:
                save(fig, part, kind, name)
        return fig


def replace_folder(new, final):
    """Put folder `new` in the place of `final`; at no moment does a half-written folder carry that name."""
    if final.exists():
        old = final.with_name(f'.{final.name}.old')
        shutil.rmtree(old, ignore_errors=True)
        os.rename(final, old)
        os.rename(new, final)
        shutil.rmtree(old)
    else:
        os.rename(new, final)
