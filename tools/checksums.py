"""The checksums of measured/, in measured/SHA256SUMS: a number that was edited by hand is noticed.

python -m tools.checksums tuning.csv map.csv      these were measured anew, or are gone
"""

import argparse
import sys

from genmix.results.measured import SUMS, checksums, digest, measured
from genmix.run.files import atomic_write
from tools import cli


def note(folder, *names):
    """Write the checksums of the files `names`, relative to `folder`, into its SHA256SUMS; others stay."""
    sums = checksums(folder) | {name: digest(folder / name) for name in names if (folder / name).exists()}
    lines = [f'{sums[name]}  {name}\n' for name in sorted(sums) if (folder / name).exists()]
    with atomic_write(folder / SUMS) as part:
        part.write_text(''.join(lines), encoding='utf-8')


@cli.command
def main(argv):
    parser = argparse.ArgumentParser(prog='python -m tools.checksums', description=__doc__.splitlines()[0])
    parser.add_argument('files', nargs='+', help='relative to measured/')
    note(measured(), *parser.parse_args(argv).files)


if __name__ == '__main__':
    sys.exit(main())
