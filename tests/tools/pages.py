"""Checks of a built site: a parser of its pages, and headless Chromium where there is one."""

import json
import shutil
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import pytest

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')


class Page(HTMLParser):
    """What a page refers to, its anchors, its images without alt text."""

    def __init__(self, file):
        super().__init__()
        self.links, self.loads, self.ids, self.images = [], [], set(), []
        self.feed(file.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get('id'))
        if tag == 'img':
            self.images.append((found['src'], found.get('alt')))
        if tag == 'a' and 'href' in found:
            self.links.append(found['href'])
        elif url := found.get('src') or (found.get('href') if tag == 'link' else None):
            self.loads.append(url)


def faults(site):
    """Sentences about broken links, anchors and images, missing alt text, what would come from a network."""
    pages, found = {file: Page(file) for file in site.glob('*.html')}, []
    for file, page in pages.items():
        found += [
            f'{file.name}: {url} comes from a network'
            for url in page.loads
            if urlsplit(url).scheme not in ('', 'data')
        ]
        found += [f'{file.name}: no alt text on {src}' for src, alt in page.images if not alt or alt == src]
        for url in page.links + page.loads:
            scheme, _, path, _, anchor = urlsplit(url)
            target = (site / unquote(path)).resolve() if path else file
            if scheme in ('http', 'https', 'data', 'mailto', 'javascript'):
                continue
            if not target.is_file():
                found.append(f'{file.name}: {url} leads nowhere')
            elif anchor and target in pages and unquote(anchor) not in pages[target].ids:
                found.append(f'{file.name}: {url} has no such anchor')
    return found


class Browser:
    """Headless Chromium, spoken to through its debugging socket."""

    def __init__(self, folder):
        websocket = pytest.importorskip('websocket')
        off = 'gpu background-networking component-update sync'
        words = ['--headless', '--no-sandbox', '--no-first-run', *(f'--disable-{x}' for x in off.split())]
        words += ['--remote-debugging-port=0', '--remote-allow-origins=*', f'--user-data-dir={folder}']
        nowhere = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
        self.process = subprocess.Popen([CHROMIUM, *words, 'about:blank'], **nowhere)
        port = Path(folder) / 'DevToolsActivePort'
        deadline = time.time() + 120
        while not (port.exists() and port.read_text().count('\n')) and time.time() < deadline:
            time.sleep(0.1)
        tabs = json.load(urlopen(f'http://127.0.0.1:{port.read_text().split()[0]}/json/list'))
        self.socket = websocket.create_connection(
            next(t['webSocketDebuggerUrl'] for t in tabs if t['type'] == 'page'), timeout=60
        )
        self.count, self.events = 0, []
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.ask(f'{domain}.enable')

    def ask(self, method, **params):
        self.count += 1
        self.socket.send(json.dumps({'id': self.count, 'method': method, 'params': params}))
        while True:
            said = json.loads(self.socket.recv())
            if said.get('id') == self.count:
                return said['result']
            self.events.append(said)

    def value(self, expression):
        return self.ask('Runtime.evaluate', expression=expression, awaitPromise=True, returnByValue=True)[
            'result'
        ].get('value')

    def open(self, url, until='true'):
        """Problems of a page: console errors, failed loads, network requests, images that show nothing."""
        self.events = []
        self.ask('Page.navigate', url=url)
        deadline = time.time() + 60
        while (
            not (
                self.value('document.readyState') == 'complete'
                and self.value('location.href') == url
                and self.value(until)
            )
            and time.time() < deadline
        ):
            time.sleep(0.1)
        self.value('window.MathJax && MathJax.startup && MathJax.startup.promise.then(() => 1)')
        broken = self.value(
            '[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)'
        )
        return [*map(str, broken or []), *filter(None, map(problem, self.events))]

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait(30)


def problem(event):
    kind, about = event.get('method'), event.get('params', {})
    if kind == 'Runtime.exceptionThrown':
        return (
            about['exceptionDetails']
            .get('exception', {})
            .get('description', about['exceptionDetails']['text'])
        )
    if kind == 'Log.entryAdded' and about['entry']['level'] == 'error':
        return about['entry']['text'] + ' ' + about['entry'].get('url', '')
    if kind == 'Runtime.consoleAPICalled' and about['type'] in ('error', 'assert'):
        return json.dumps(about['args'])[:300]
    if kind == 'Network.loadingFailed' and not about.get('canceled'):
        return about['errorText']
    if kind == 'Network.requestWillBeSent' and urlsplit(about['request']['url']).scheme in (
        'http',
        'https',
        'ws',
        'wss',
    ):
        return f'asks for {about["request"]["url"]}'
    return None
