"""Write the outputs of a finished run into notebooks/, its numbers into measured/quick.json, and the pictures
of README.md into docs/figures/.

python -m tools.publish --run cpu
"""

import copy
import hashlib
import json
import os
import platform
import re
import sys
import tempfile
from pathlib import Path

from genmix import StudyError
from genmix.run import notebooks
from genmix.run.files import atomic_write
from genmix.run.log import log
from genmix.run.study import Study, home
from tools import checksums, cli, verify
from tools.outputs import code_cells, joined, read_executed

LIMIT = 1_500_000  # bytes of a published notebook: repositories keep every publication for ever
PICTURES = {'mixture': '07_labels', 'contrasts': '09_forest_population'}  # in docs/figures/: figures of a run
LOCAL_PATH = re.compile(r'(?<![\w.>/])/(?:home|root|Users|tmp|var|mnt|opt|srv|private)/[^\s"\'<]*')


def stamp(content):
    """16 hex digits over the code cells of a notebook (a dict): the code that made its outputs."""
    code = [''.join(c['source']) for c in code_cells(content)]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:16]


def written(content):
    """A notebook as bytes, in the layout of the committed ones."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + '\n').encode()


def page(notebook, study):
    """The bytes of a committed notebook with the outputs that it has in a run.

    StudyError when the run lacks it or executed other code, and when the page would name a path or a
    machine or be too large.
    """
    done, name = study.folder / 'notebooks' / notebook.path.name, notebook.name
    if not done.exists():
        raise StudyError(f'runs/{study.run} has no {name}: run `make all RUN={study.run}` first.')
    content = with_outputs(notebook.content, read_executed(done))
    if content is None:
        raise StudyError(
            f'{name} in runs/{study.run} was made by other code than notebooks/{name}.ipynb holds: '
            f'run `make all RUN={study.run}` first.'
        )
    if found := local_name(content, study):
        raise StudyError(
            f'{name} in runs/{study.run} shows "{found}", which belongs to one machine: '
            'print it relative to the project, or not at all.'
        )
    content['metadata'].setdefault('genmix', {})['published'] = stamp(content)
    text = written(content)
    if len(text) >= LIMIT:
        raise StudyError(
            f'{name} would take {len(text) / 1e6:.1f} MB, the limit is {LIMIT / 1e6:.1f}: '
            'show fewer or smaller pictures.'
        )
    return text


def with_outputs(content, executed):
    """The notebook `content` with the outputs of `executed` (both dicts), None when their code differs."""
    content = copy.deepcopy(content)
    cells, made = code_cells(content), code_cells(executed)
    if [(c['id'], joined(c['source'])) for c in cells] != [(c['id'], joined(c['source'])) for c in made]:
        return None
    for cell, done in zip(cells, made):
        cell |= {key: done[key] for key in ('outputs', 'execution_count')}
        for output in cell['outputs']:
            output.get('data', {}).pop(notebooks.SLIDER, None)  # megabytes: in the web book alone
    return content


def local_name(content, study):
    """The first path of this machine, or its name, that an output shows; '' when there is none."""
    outputs = copy.deepcopy([o for c in code_cells(content) for o in c['outputs']])
    for output in outputs:
        for image in [kind for kind in output.get('data', {}) if kind.startswith('image/')]:
            del output['data'][image]
    text, machine, person = json.dumps(outputs, ensure_ascii=False), platform.node(), Path.home()
    own = [str(study.home), tempfile.gettempdir() + os.sep]
    own += [str(person) + os.sep] if len(person.parts) > 1 else []
    own += [machine] if len(machine) > 5 and machine != 'localhost' else []  # a shorter one may be a word
    found = LOCAL_PATH.search(text.replace('\\n', '\n'))
    return next((word for word in own if word in text), found[0] if found else '')


def publish(study, strict=True):
    """Write the outputs of a run into notebooks/, its numbers into measured/quick.json and PICTURES; all or
    nothing.

    A notebook keeps its time of modification, so that make finds nothing to do.  strict=False takes a run
    of any profile and SET.  Returns {path: bytes}.  Raises StudyError as `verify.need_default`, `page`
    and `verify.numbers` do.
    """
    if strict:
        verify.need_default(study)
    every = notebooks.notebooks(study.home / 'notebooks', appendices=True)
    here = {path.name for path in (study.folder / 'notebooks').glob(notebooks.NAMES)}
    wanted = [nb for nb in every if not nb.optional or nb.path.name in here]  # lesson, subgroups
    pages = {nb.path: page(nb, study) for nb in wanted}
    pages[study.home / verify.COMMITTED] = verify.as_text(verify.numbers(study)).encode()
    for picture, figure in PICTURES.items():
        if (drawn := study.folder / 'figures' / f'{figure}.png').exists():
            pages[study.home / 'docs' / 'figures' / f'{picture}.png'] = drawn.read_bytes()
    for path, text in pages.items():
        if path.exists() and path.read_bytes() == text:
            continue
        with atomic_write(path) as part:
            part.write_bytes(text)
            if path.exists():
                before = path.stat()
                os.utime(part, ns=(before.st_atime_ns, before.st_mtime_ns))
    checksums.note(study.home / 'measured', Path(verify.COMMITTED).name)
    return pages


@cli.command
def main(argv):
    parser = cli.parser('tools.publish', __doc__, run=True)
    parser.add_argument(
        '--any', action='store_true', help='take a run of another profile or SET too; not to be committed'
    )
    args = parser.parse_args(argv)
    pages = publish(Study(args.run, home()), strict=not args.any)
    size = sum(map(len, pages.values())) / 1e6
    n = sum(path.suffix == '.ipynb' for path in pages)
    log.info(
        f'{n} notebooks hold the outputs of runs/{args.run}, {size:.1f} MB; '
        f'its numbers are in {verify.COMMITTED}'
    )


if __name__ == '__main__':
    sys.exit(main())
