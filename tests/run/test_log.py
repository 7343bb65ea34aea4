import subprocess
import sys

from conftest import ROOT


def test_a_terminal_without_utf_8_gets_lines_all_the_same():
    code = "from genmix.run.log import log; log.info('f\\u00fcnf'); print('end')"
    env = {'PYTHONPATH': str(ROOT), 'LC_ALL': 'POSIX', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'}
    done = subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True)
    assert done.stdout.splitlines() == ['? f?nf', 'end'] and done.stderr == ''
