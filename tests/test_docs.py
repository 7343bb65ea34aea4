"""What the pages say exists: links, files, make targets, commands, parameters, headings."""

import re

import pytest
from conftest import ROOT

from genmix.run.notebooks import notebooks

PAGES = [
    ROOT / 'README.md',
    ROOT / 'CONTRIBUTING.md',
    ROOT / 'CHANGELOG.md',
    *sorted((ROOT / 'docs').glob('*.md')),
]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding='utf-8') for page in PAGES}


def code(text):
    """Blocks and spans of code."""
    return '\n'.join(re.findall(r'(?s)```.*?```|`[^`]+`', text))


@pytest.fixture(scope='module')
def every():
    return notebooks(ROOT / 'notebooks', appendices=True)


def test_the_readme_is_two_screens():
    assert len((ROOT / 'README.md').read_bytes()) < 10_000


@pytest.mark.parametrize('page', TEXTS)
def test_links_lead_somewhere(page):
    links = re.findall(r'\]\((?!https?:)([^)#]+)\)', TEXTS[page])
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []
    if page.startswith('docs/'):  # the book has these pages beside each other, and no others
        assert all('/' not in link for link in links)


@pytest.mark.parametrize('page', TEXTS)
def test_files_exist(page):
    names = re.findall(
        r'(?<![\w/.-])(?:genmix|tools|examples|params|docs|tests)/[\w/.-]*\w', code(TEXTS[page])
    )
    placeholders = {'examples/NAME.py', 'examples/RULE.py', 'params/name.yaml'}
    assert [name for name in set(names) - placeholders if not (ROOT / name).exists()] == []


@pytest.mark.parametrize('page', TEXTS)
def test_commands_exist(page):
    text, rules = code(TEXTS[page]), (ROOT / 'Makefile').read_text()
    targets = set(re.findall(r'^([a-z]+):', rules, re.MULTILINE))
    assert set(re.findall(r'\bmake ([a-z]+)', text)) <= targets
    for module in re.findall(r'-m ((?:genmix|tools)[\w.]*)', text):
        path = ROOT.joinpath(*module.split('.'))
        assert path.with_suffix('.py').exists() or (path / '__main__.py').exists(), module


@pytest.mark.parametrize('page', TEXTS)
def test_parameters_exist(page, every):
    known = {name for nb in every for name in nb.parameters}
    spans = re.findall(r'SET="([^"]*)"', TEXTS[page]) + re.findall(r'`([^`\n]+)`', TEXTS[page])
    words = [re.sub(r"'[^']*'", '', span) for span in spans]
    named = {key for span in words for key in re.findall(r'(?:^|[ ."])([a-z]\w*) ?=', span)}
    assert named <= known


def test_every_notebook_is_linked_and_its_minutes_are_its_own(every):
    links = re.findall(r'\[`(\w+)`\]\(notebooks/(\w+)\.ipynb\)', TEXTS['README.md'])
    assert links == [(nb.name, nb.name) for nb in sorted(every, key=lambda nb: nb.name)]
    minutes = r'\*\*Time:\*\* (\d+) minutes to read, ((?:under )?\d+) to run'
    said = {nb.name: re.search(minutes, nb.path.read_text(encoding='utf-8')) for nb in every}
    rows = re.findall(r'^\| \[`(\w+)`.*\| (\d+) \| ([\w ]+) \|$', TEXTS['README.md'], re.MULTILINE)
    assert len(rows) == 11 and rows == [(name, *said[name].groups()) for name, *_ in rows]


def test_the_walk_names_modules():
    rooms = {path.parent.name for path in (ROOT / 'genmix').glob('*/__init__.py')}
    for name in re.findall(r'`([a-z]+\.[a-z_.0-9]+)`', TEXTS['docs/architecture.md']):
        if name.split('.')[0] in rooms:
            path = (ROOT / 'genmix').joinpath(*name.split('.'))
            attribute = path.parent.with_suffix('.py')  # such as data.cohort.Cohort
            assert path.exists() or path.with_suffix('.py').exists() or attribute.exists(), name
    assert all(f'{room}/' in TEXTS['docs/architecture.md'] for room in rooms)


def test_every_case_has_a_test():
    tests = '\n'.join(path.read_text(encoding='utf-8') for path in (ROOT / 'tests').rglob('test_*.py'))
    rows = re.findall(r'^\| .*\|$', TEXTS['docs/cases.md'], re.MULTILINE)
    rows = [row.strip('|').rpartition('|')[2] for row in rows if row[2:7] not in ('input', 'what ', '--|--')]
    named = [re.findall(r'`(test_\w+)`', row) for row in rows]
    assert len(rows) > 50 and all(named)
    assert [name for name in sum(named, []) if f'def {name}(' not in tests] == []


def test_lesson_plans_name_headings(every):
    prose = '\n'.join(
        ''.join(c['source']) for nb in every for c in nb.content['cells'] if c['cell_type'] == 'markdown'
    )
    headings = set(re.findall(r'^#+ (.+)$', prose, re.MULTILINE))
    named = re.findall(r'(?<!\*)\*([A-Z][^*]+)\*(?!\*)', TEXTS['docs/teaching.md'])
    assert named and set(named) <= headings
