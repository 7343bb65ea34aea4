"""What the noise of the phantom's scanner changes: dev cohorts scanned as usual, and with twice the noise.

python -m tools.noise                                  writes measured/noise.csv (one classifier an arm)
python -m tools.noise --generators oracle dcgan        with a generator that is trained
"""

import sys

from genmix.appendix import noise
from genmix.results.measured import measured
from genmix.run.files import atomic_write
from genmix.run.study import Study
from tools import cli
from tools.checksums import note


@cli.command
def main(argv):
    parser = cli.parser('tools.noise', __doc__)
    parser.add_argument('--run', default='dev', help='run that keeps the stages (default %(default)s)')
    parser.add_argument('--cohorts', type=int, default=4, help='dev cohorts (default %(default)s)')
    parser.add_argument('--generators', nargs='+', default=['oracle'], help='default: oracle, not trained')
    parser.add_argument('--noise', nargs='+', type=float, default=[1.0, 2.0], help='default: 1 2')
    parser.add_argument('--profile', default='cpu', help='of params/ (default %(default)s)')
    parser.add_argument('--workers', type=int, default=0, help='side by side (default: one a core)')
    args = parser.parse_args(argv)
    study = Study(args.run)
    table = noise.run(study, args.cohorts, args.generators, args.noise, args.profile, args.workers)
    with atomic_write(measured() / 'noise.csv') as part:
        table.to_csv(part, index=False)
    note(measured(), 'noise.csv')


if __name__ == '__main__':
    sys.exit(main())
