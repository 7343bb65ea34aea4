"""Outputs that a reader can keep: an executed notebook without what belongs to one machine and one hour, small, stamped with its code.

python -m genmix.publish --run cpu     write the outputs of that finished run into notebooks/, and its numbers into measured/quick.json
"""

import argparse
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
from genmix.run.log import MARK
from genmix.run.study import Study, home
from tools import pictures, verify

LIMIT = 1_500_000  # bytes of a published notebook
ROOM = (
    1_000_000  # what its text and pictures take where they can: repositories keep every publication for ever
)
BARE = re.compile(
    r'<[\w.]+ object>|<[\w.]+(?: object)? at 0x[0-9a-f]+>'
)  # what Python says of an object that has no words
BAR = re.compile(r'\d+%\|')  # of tqdm
STYLED = re.compile(r'\bT_[0-9a-f]{5}(?=["_])')  # the id that pandas draws anew for a styled table
ELSEWHERE = re.compile(
    r'(?<![\w.>/])/(?:home|root|Users|tmp|var|mnt|opt|srv|private)/[^\s"\'<]*'
)  # paths of a machine


def stamp(content):
    """16 hex digits over the code cells of a notebook (a dict): what its outputs were made by."""
    code = [''.join(c['source']) for c in content['cells'] if c['cell_type'] == 'code']
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:16]


def presentable(content):
    """The executed notebook `content` (a dict, left as it is) with clean outputs, cells and alt text as they are.

    Gone are the injected parameters, papermill's notes, log lines, stderr, progress bars and addresses in memory; execution counts are 1 to n.
    Pictures are packed better, and where that is not enough coarser, the largest first, until the notebook fits into ROOM bytes.
    """
    content = copy.deepcopy(content)
    content['cells'] = [
        c for c in content['cells'] if 'injected-parameters' not in c['metadata'].get('tags', [])
    ]
    for noise in ('papermill', 'widgets'):
        content['metadata'].pop(noise, None)
    content['metadata'].get('language_info', {}).pop('version', None)
    for cell in content['cells']:
        cell['metadata'] = {
            k: v
            for k, v in cell['metadata'].items()
            if k not in ('papermill', 'execution', 'ExecuteTime') and (k, v) != ('tags', [])
        }
    code = [c for c in content['cells'] if c['cell_type'] == 'code']
    for n, cell in enumerate(code, 1):
        cell['execution_count'], cell['outputs'] = n, cleaned(cell['outputs'], cell.get('id', n))
        for output in cell['outputs']:
            if output['output_type'] == 'execute_result':
                output['execution_count'] = n
    pictures.pack(
        [o for c in code for o in c['outputs'] if 'data' in o], ROOM - len(written(without_pictures(content)))
    )
    return content


def cleaned(outputs, cell):
    """The outputs of one cell that say something; what it printed comes as one text where nothing was shown between."""
    kept = []
    for output in outputs:
        if output['output_type'] == 'stream':
            text = printed(output) if output['name'] == 'stdout' else ''
            if text and kept and kept[-1]['output_type'] == 'stream':
                kept[-1]['text'] += lines(text)
            elif text:
                kept.append({**output, 'text': lines(text)})
        elif 'data' not in output:
            kept.append(output)
        elif data := shown_data(output, f'T_{cell}-{len(kept)}'):
            kept.append(
                {
                    **output,
                    'data': data,
                    'metadata': {k: v for k, v in output.get('metadata', {}).items() if k in data},
                }
            )
    return kept


def printed(output):
    """Text of a stream without log lines and progress bars; of a line that was written over, what stayed."""
    text = (
        line.rstrip('\r\n').rpartition('\r')[2] + line[len(line.rstrip('\r\n')) :].lstrip('\r')
        for line in lines(joined(output['text']))
    )
    return ''.join(line for line in text if not line.startswith(MARK) and not BAR.search(line))


def shown_data(output, table):
    """{type: data} of a shown value; {} for a progress bar.  `table` is the id of a styled table in place of a random one."""
    data = {
        kind: joined(value) if kind.startswith('text/') else value for kind, value in output['data'].items()
    }
    if 'application/vnd.jupyter.widget-view+json' in data or '<progress' in data.get('text/html', ''):
        return {}
    if 'text/html' in data:
        data['text/html'] = STYLED.sub(table, data['text/html'])
    if BARE.fullmatch(data.get('text/plain', '').strip()):
        alt = next(
            (
                about['alt']
                for about in output.get('metadata', {}).values()
                if isinstance(about, dict) and about.get('alt')
            ),
            '',
        )
        data['text/plain'] = alt or data['text/plain'].split(' ')[0].strip('<>')
        if not alt and len(data) > 1:
            del data['text/plain']
    return {kind: lines(value) if kind.startswith('text/') else value for kind, value in data.items()}


def joined(text):
    return text if isinstance(text, str) else ''.join(text)


def lines(text):
    """Text as notebooks keep it: a list of lines with their ends.  (str.splitlines would also break at a form feed.)"""
    return re.findall(r'[^\n]*\n|[^\n]+', text)


def written(content):
    """A notebook as bytes, in the layout of the committed ones."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + '\n').encode()


def without_pictures(content):
    content = copy.deepcopy(content)
    for output in (o for c in content['cells'] for o in c.get('outputs', []) if 'data' in o):
        output['data'] = {
            kind: '' if kind in pictures.WAYS else value for kind, value in output['data'].items()
        }
    return content


# ---- a run --------------------------------------------------------------------------------------------------------


def page(notebook, study):
    """The bytes of a committed notebook with the outputs that it has in a run.

    StudyError when the run lacks it, executed other code, or when the page would name a path or machine, or be too large.
    """
    done = study.folder / 'notebooks' / notebook.path.name
    if not done.exists():
        raise StudyError(f'runs/{study.run} has no {notebook.name}: run `make all RUN={study.run}` first.')
    shown, content = (
        presentable(json.loads(done.read_text(encoding='utf-8'))),
        copy.deepcopy(notebook.content),
    )
    code = [
        [(c['id'], joined(c['source'])) for c in cells if c['cell_type'] == 'code']
        for cells in (shown['cells'], content['cells'])
    ]
    if code[0] != code[1]:
        raise StudyError(
            f'{notebook.name} in runs/{study.run} was made by other code than notebooks/{notebook.name}.ipynb holds: run `make all RUN={study.run}` first.'
        )
    made = {c['id']: c for c in shown['cells']}
    for cell in content['cells']:
        if cell['cell_type'] == 'code':
            cell['outputs'], cell['execution_count'] = (
                made[cell['id']]['outputs'],
                made[cell['id']]['execution_count'],
            )
    if found := local_names(content, study):
        raise StudyError(
            f'{notebook.name} in runs/{study.run} shows "{found}", which belongs to one machine: print it relative to the project, or not at all.'
        )
    content['metadata'].setdefault('genmix', {})['published'] = stamp(content)
    text = written(content)
    if len(text) >= LIMIT:
        raise StudyError(
            f'{notebook.name} would take {len(text) / 1e6:.1f} MB, the limit is {LIMIT / 1e6:.1f}: show fewer or smaller pictures.'
        )
    return text


def local_names(content, study):
    """The first path of this machine, or its name, that an output shows; '' when there is none."""
    outputs = [o for c in without_pictures(content)['cells'] for o in c.get('outputs', [])]
    text, name = json.dumps(outputs, ensure_ascii=False).replace('\\n', '\n'), platform.node()
    own = [
        str(study.home),
        tempfile.gettempdir() + os.sep,
        *([str(Path.home()) + os.sep] if len(Path.home().parts) > 1 else []),
    ]
    own += [name] if len(name) > 5 and name != 'localhost' else []  # a shorter one may be a word
    return next((word for word in own if word in text), '') or next(
        (found[0] for found in ELSEWHERE.finditer(text)), ''
    )


def publish(study, strict=True):
    """Write the outputs of a run into notebooks/ and its numbers into measured/quick.json; nothing at all when one is refused.

    A notebook keeps its time of modification, so that make finds nothing to do.  strict=False takes a run of any profile and SET.
    Raises StudyError as `verify.need_default`, `page` and `verify.numbers` do.
    """
    if strict:
        verify.need_default(study)
    pages = {nb.path: page(nb, study) for nb in notebooks.notebooks(study.home / 'notebooks')}
    pages[study.home / verify.COMMITTED] = verify.as_text(verify.numbers(study)).encode()
    for path, text in pages.items():
        if path.exists() and path.read_bytes() == text:
            continue
        with atomic_write(path) as part:
            part.write_bytes(text)
            if path.exists():
                before = path.stat()
                os.utime(part, ns=(before.st_atime_ns, before.st_mtime_ns))
    return pages


def main(argv=None):
    parser = argparse.ArgumentParser(prog='python -m genmix.publish', description=__doc__.splitlines()[0])
    parser.add_argument('--run', default='cpu', help='a finished run below runs/ (default %(default)s)')
    parser.add_argument(
        '--any',
        action='store_true',
        help='a run of another profile or SET as well: to look at, not to be committed',
    )
    args = parser.parse_args(argv)
    try:
        pages = publish(Study(args.run, home()), strict=not args.any)
    except StudyError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(
        f'{MARK} {len(pages) - 1} notebooks hold the outputs of runs/{args.run}, {sum(map(len, pages.values())) / 1e6:.1f} MB; its numbers are in {verify.COMMITTED}'
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
