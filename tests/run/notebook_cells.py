"""The code cells of the study's notebooks, one notebook after another, in this process.

    python notebook_cells.py PROFILE cpu|other KEY=VALUE ...

in a folder with params/ and runs/; KEY=VALUE as in SET.  `other` is the device of other_device.py.  What a
notebook prints goes to stderr; the names of those that ran to stdout, and the traceback of one that did not.
"""

import contextlib
import linecache
import os
import sys
import traceback
from pathlib import Path


def run_cells(notebook, values):
    """Execute the code cells of a Notebook with these parameters, as a kernel does."""
    from genmix.run.study import Study

    names = {k: p.default for k, p in notebook.parameters.items()} | values
    Study.figure = lambda study, figure, name, caption='': figure  # drawn, but not written
    names |= {'display': lambda *shown: None, '__name__': '__main__'}
    for number, cell in enumerate(notebook.content['cells']):
        if cell['cell_type'] == 'code' and 'parameters' not in cell['metadata'].get('tags', ()):
            source, name = ''.join(cell['source']), f'{notebook.name}, cell {number}'
            linecache.cache[name] = len(source), None, source.splitlines(True), name  # as IPython does
            exec(compile(source, name, 'exec'), names)


def run_profile(profile, words):
    """The whole study into runs/cells; parameters as make passes them."""
    from genmix.__main__ import parameter_of
    from genmix.run.notebooks import ROOT, notebooks
    from genmix.run.profile import read_profile, resolve
    from genmix.run.settings import read_settings

    every = notebooks(ROOT / 'notebooks', appendices=True)
    settings = read_settings([word.split('=', 1) for word in words], parameter_of(every))
    params = resolve(read_profile(profile), settings, every)
    for notebook in (nb for nb in every if not nb.optional):
        with contextlib.redirect_stdout(sys.stderr):
            run_cells(notebook, params[notebook.name] | {'run': 'cells'})
        print(notebook.name, flush=True)


def main(profile, where, *words):
    device = contextlib.nullcontext()
    if where == 'other':
        from other_device import OtherDevice, register

        os.environ['GENMIX_DEVICE'] = str(register())
        device = OtherDevice()
    with device:
        try:
            run_profile(profile, words)
        except Exception:
            print(traceback.format_exc())


if __name__ == '__main__':
    here = Path(__file__).resolve().parent
    sys.path[:0] = [str(here.parents[1]), str(here)]
    main(*sys.argv[1:])
