"""JupyterLab on copies of the notebooks, in lab/: what is saved there changes no committed file.

python -m tools.lab                       00_overview first; runs/ and student/ are one click away
python -m tools.lab runs/cpu/notebooks    the notebooks of another folder of the project
python -m tools.lab --first L_lesson      this one first
"""

import os
import sys
from urllib.parse import quote

from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from genmix import StudyError
from genmix.run.kernels import KERNEL
from genmix.run.notebooks import notebooks
from genmix.run.study import home
from tools import cli
from tools.copies import renew

FOLDER = 'lab'


class OwnKernel(KernelSpecManager):
    """Its kernel python3 is this very Python, whatever a kernelspec of the user names so."""

    def get_kernel_spec(self, kernel_name):
        if kernel_name != 'python3':
            return super().get_kernel_spec(kernel_name)
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())


def first_notebook(name, first=''):
    """Path of the notebook to open, relative to the project; the copies in lab/ are renewed before.

    first   name of the notebook; '': the first one of the folder
    StudyError when the folder `name` is outside of the project or has no (such) notebooks.
    """
    place = home()
    folder = (place / name).resolve()
    if not folder.is_relative_to(place.resolve()):
        raise StudyError(f'DIR={name} is not in the project: name a folder such as runs/cpu/notebooks.')
    if folder == place.resolve() / FOLDER:
        renew({nb.path.name: nb.content for nb in notebooks(place / 'notebooks', appendices=True)}, folder)
    found = sorted(p for p in folder.glob('*.ipynb') if not p.name.endswith('.failed.ipynb'))
    if not found:
        how = 'make student writes it' if folder.name == 'student' else 'make all writes runs/cpu/notebooks'
        raise StudyError(f'DIR={name} has no notebooks: {how}.')
    chosen = [p for p in found if p.stem == first] if first else found
    if not chosen:
        raise StudyError(f'DIR={name} has no {first}: it has {", ".join(p.stem for p in found)}.')
    return chosen[0].relative_to(place.resolve()).as_posix()


def options(notebook):
    """Command line of JupyterLab: the project as its root, `notebook` open; the token stays."""
    return [
        '--ServerApp.ip=localhost',
        f'--ServerApp.root_dir={home()}',
        f'--LabApp.default_url=/lab/tree/{quote(notebook)}',
        '--ServerApp.kernel_spec_manager_class=tools.lab.OwnKernel',
        '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate',
        '--LanguageServerManager.autodetect=False',  # it lists all that are not installed
    ]


def surroundings():
    """Variables for JupyterLab and its kernels: no question about news, no warnings of libraries."""
    config = [str(home() / 'tools'), os.environ.get('JUPYTER_CONFIG_PATH', '')]
    kernels = {name: KERNEL[name] for name in ('PYTHONWARNINGS', 'PYTHONUTF8', 'MATPLOTLIBRC')}
    return kernels | {'JUPYTER_CONFIG_PATH': os.pathsep.join(filter(None, config))}


@cli.command
def main(argv):
    parser = cli.parser('tools.lab', __doc__)
    parser.add_argument('folder', nargs='?', default=FOLDER, help='of the project (default %(default)s)')
    parser.add_argument('--first', default='', help='the notebook to open')
    args, others = parser.parse_known_args(argv)
    found = options(first_notebook(args.folder or FOLDER, args.first))
    os.environ |= surroundings()
    from jupyterlab.labapp import LabApp

    LabApp.launch_instance([*found, *others])


if __name__ == '__main__':
    sys.exit(main())
