"""The log of a run, and progress: a bar in the browser, quiet lines headless."""

import logging
import os
import sys
import time
from contextlib import contextmanager

MARK = '▸'  # begins every line of the log; the runner passes on just these


class _CurrentStream(logging.StreamHandler):
    """Writes to what stdout is at the moment; headless to stderr, which published outputs leave out."""

    def __init__(self):
        logging.Handler.__init__(self)

    @property
    def stream(self):
        return sys.stderr if os.environ.get('GENMIX_HEADLESS') else sys.stdout

    def format(self, record):
        """The line; what the encoding of the terminal lacks becomes a question mark."""
        encoding = getattr(self.stream, 'encoding', None) or 'utf-8'
        return super().format(record).encode(encoding, 'replace').decode(encoding)


log = logging.getLogger('genmix')
if not log.handlers:
    _handler = _CurrentStream()
    _handler.setFormatter(logging.Formatter(f'{MARK} %(message)s'))
    log.addHandler(_handler)
    log.setLevel(logging.INFO)
    log.propagate = False


@contextmanager
def quiet():
    """No log lines below a warning: for units of work whose caller counts them."""
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)


def progress(iterable, label, total=None):
    """`iterable` with a bar in the browser; headless with a log line at every tenth, 4 s apart at least."""
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
            log.info(f'{label}: {i} of {total}, {last - start:.0f} s')
