"""A small book of two notebooks, built by `make book` and read by a parser and by Chromium."""

import base64
import io
import json
import re
from urllib.parse import urlsplit

import pytest
from conftest import ROOT, make
from pages import CHROMIUM, Browser, Page, faults
from PIL import Image

from genmix import StudyError
from tools import book

MISSING = [name for name in book.PACKAGES if not book.present(name)]
needs_sphinx = pytest.mark.skipif(
    bool(MISSING), reason=f'make book needs {", ".join(MISSING)}: pip install -e ".[book]"'
)
EQUATION = (
    r'$$\tilde x = \lambda\, x_\text{real} + (1-\lambda)\, x_\text{syn},'
    r'\qquad \lambda \sim \mathrm{Beta}(\alpha, \alpha)$$'
)


# ---- a run with two notebooks ----


def picture(shade, kind='png'):
    file = io.BytesIO()
    Image.new('L', (40, 30), shade).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def shown(alt, shade, kind='image/png', about=True):
    """An output with an image whose alt text stands in its metadata, or only as the plain text beside it."""
    return {
        'output_type': 'display_data',
        'data': {kind: picture(shade, kind[6:]), 'text/plain': alt},
        'metadata': {kind: {'alt': alt}} if about else {},
    }


def prose(name, text, *tags):
    return {'cell_type': 'markdown', 'id': name, 'metadata': {'tags': list(tags)}, 'source': text}


def code(name, text, *outputs, tags=()):
    return {
        'cell_type': 'code',
        'id': name,
        'metadata': {'tags': list(tags)},
        'execution_count': 1,
        'source': text,
        'outputs': list(outputs),
    }


def notebook(*cells):
    about = {
        'kernelspec': {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'},
        'language_info': {'name': 'python'},
    }
    return {'cells': list(cells), 'metadata': about, 'nbformat': 4, 'nbformat_minor': 5}


def small_run():
    table = {
        'output_type': 'execute_result',
        'execution_count': 1,
        'metadata': {},
        'data': {
            'text/markdown': '| arm | accuracy |\n|---|---|\n| unicorn | 0.9 |',
            'text/plain': '<Markdown object>',
        },
    }
    seven = notebook(
        prose(
            'title',
            f'# 07 · Mixing\n\n**What is *mixed* | and why?**\n\n{EQUATION}\n\n'
            'Mixup ([Zhang 2018](https://arxiv.org/abs/1710.09412)). Next: `09_results`; not `08_other`.',
            'equation',
        ),
        code('one', "study.figure(fig, 'figure1')", shown('The "method", <drawn>', 10), tags=['figure1']),
        code(
            'two',
            "study.figure(a, 'figure2')\nstudy.figure(b, 'figure3')",
            shown('Photographs turn into lesions', 60),
            shown('Real | synthetic [lesions]', 90, about=False),
            tags=['figure2', 'figure3'],
        ),
        code('snapshots', 'Image()', shown('Snapshots', 30, 'image/gif')),
        code('answer', 'hidden_answer = 7', tags=['solution']),
    )
    nine = notebook(
        prose(
            'title', '# 09 · Results\n\n**Does it help?**\n\nBefore: `07_genmix`; the [README](../README.md).'
        ),
        prose('more', '$$a = b$$'),
        code('numbers', 'tables = results_table(replicates)', table, tags=['table']),
        code('one', "study.figure(fig, 'figure4')", shown('Points', 120), tags=['figure4']),
    )
    return {'07_genmix': seven, '09_results': nine}


def write_run(folder, pages):
    (folder / 'notebooks').mkdir(parents=True)
    for name, content in pages.items():
        (folder / 'notebooks' / f'{name}.ipynb').write_text(json.dumps(content), encoding='utf-8')
    (folder / 'notebooks' / '08_other.failed.ipynb').write_text('{}')


@pytest.fixture(scope='module')
def site(clone):
    """The small book, and what `make book` said."""
    if MISSING:
        pytest.skip(f'make book needs {", ".join(MISSING)}: pip install -e ".[book]"')
    write_run(clone / 'runs' / 'small', small_run())
    done = make(clone, 'book', 'RUN=small')
    assert done.returncode == 0, done.stdout + done.stderr
    return clone / 'runs' / 'small' / 'book', done


@pytest.fixture
def browser(tmp_path):
    if not CHROMIUM:
        pytest.skip('no Chromium on this machine')
    browser = Browser(tmp_path / 'chromium')
    yield browser
    browser.close()


# ---- the tests ----


def test_every_link_image_and_anchor_of_the_book(site):
    folder, done = site
    assert faults(folder) == [] and not done.stderr.strip(), done.stderr
    assert {'index.html', '07_genmix.html', '09_results.html', 'bibliography.html', 'search.html'} <= {
        p.name for p in folder.glob('*.html')
    }
    assert not list(folder.parent.glob('.book/*')), 'nothing is left of the building'


def test_the_checker_sees_what_is_broken(tmp_path):
    (tmp_path / 'a.html').write_text(
        '<h1 id="here">x</h1><a href="#here">y</a><a href="b.html">y</a><a href="#there">y</a>'
        '<img src="c.png"><script src="https://x.org/y.js"></script>'
    )
    assert [line.split(': ')[1] for line in faults(tmp_path)] == [
        'https://x.org/y.js comes from a network',
        'no alt text on c.png',
        'b.html leads nowhere',
        '#there has no such anchor',
        'c.png leads nowhere',
    ]


def test_what_is_of_the_paper_is_one_click_away(site):
    folder, _ = site
    links = Page(folder / 'index.html').links
    equation = book.equation_id(EQUATION.strip('$'))
    for target in (
        '07_genmix.html#cell-one',
        '07_genmix.html#cell-two',
        f'07_genmix.html#{equation}',
        '09_results.html#cell-numbers',
        '09_results.html#cell-one',
    ):
        assert target in links, target
    text = (folder / '07_genmix.html').read_text(encoding='utf-8')
    cell = text[text.index('id="cell-one"') : text.index('id="cell-two"')]
    made = 'the anchor is on the cell that makes the figure'
    assert "figure1'" in cell and "figure2'" not in cell, made
    assert r'\tilde x' in text[text.index(f'id="{equation}"') :][:200]


def test_images_say_what_they_show(site):
    folder, _ = site
    alts = [alt for src, alt in Page(folder / '07_genmix.html').images if src.startswith('_images')]
    assert alts == [
        'The "method", <drawn>',
        'Photographs turn into lesions',
        'Real | synthetic [lesions]',
        'Snapshots',
    ]
    assert [alt for src, alt in Page(folder / 'index.html').images if 'figure2' in src] == [
        'Photographs turn into lesions'
    ]


def test_a_notebook_can_be_downloaded_and_names_become_links(site):
    folder, _ = site
    assert '_sources/07_genmix.ipynb' in Page(folder / 'index.html').links
    kept = json.loads((folder / '_sources' / '07_genmix.ipynb').read_text(encoding='utf-8'))
    assert [c['id'] for c in kept['cells']] == [c['id'] for c in small_run()['07_genmix']['cells']]
    page = (folder / '07_genmix.html').read_text(encoding='utf-8')
    assert '09_results.html' in Page(folder / '07_genmix.html').links and '>08_other<' in page
    assert '<details' in page[page.index('id="cell-answer"') :], 'a solution is folded away'
    assert '<td><p>unicorn</p></td>' in (folder / '09_results.html').read_text(encoding='utf-8'), (
        'a table that a cell prints is a table'
    )


def test_pages_load_from_disk_without_an_error(site, browser):
    folder, _ = site
    for file in sorted(folder.glob('*.html')):
        assert browser.open(file.as_uri()) == [], file.name
    browser.open((folder / '07_genmix.html').as_uri())
    assert browser.value('document.querySelectorAll("mjx-container svg").length') >= 1, 'equations are drawn'


def test_search_works_from_disk(site, browser):
    folder, _ = site
    found = '[...document.querySelectorAll("#search-results li a")].map(a => a.getAttribute("href"))'
    for word, pages in (('unicorn', {'09_results.html'}), ('zhang', {'07_genmix.html', 'bibliography.html'})):
        assert (
            browser.open(
                f'{(folder / "search.html").as_uri()}?q={word}', until=f'{found}.length >= {len(pages)}'
            )
            == []
        )
        assert {urlsplit(url).path for url in browser.value(found)} == pages


def test_the_browser_sees_what_is_broken(tmp_path, browser):
    page = tmp_path / 'a.html'
    page.write_text('<img src="none.png"><script>fetch("b.html"); nothing()</script>')
    said = ' '.join(browser.open(page.as_uri()))
    assert 'none.png' in said and 'nothing is not defined' in said and 'CORS' in said


@needs_sphinx
def test_a_build_that_fails_leaves_the_book_as_it_was(site, monkeypatch):
    folder, _ = site
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    monkeypatch.chdir(folder.parents[2])
    monkeypatch.setattr(book, 'notebook_list', lambda pages: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        book.build('small')
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before and not (
        folder.parent / '.book'
    ).exists()


def test_the_lesson_and_the_appendices_have_places_of_their_own(monkeypatch):
    monkeypatch.chdir(ROOT)
    parts = book.contents(dict.fromkeys(('00_a', 'A1_b', 'L_lesson'))).split('```{toctree}')
    names = {part.split(':caption: ')[1].split('\n')[0]: part.split()[-2] for part in parts[1:]}
    assert (names['The study'], names['For teaching'], names['Appendices']) == ('00_a', 'L_lesson', 'A1_b')


def test_the_committed_lesson_stands_in_for_one_that_the_run_lacks(project, monkeypatch):
    monkeypatch.chdir(project)
    write_run(project / 'runs' / 'small', small_run())
    folder, lesson = project / 'runs' / 'small', notebook(prose('a', '# L'), code('b', '1', shown('one', 9)))
    (project / 'notebooks').mkdir()
    committed = project / 'notebooks' / 'L_lesson.ipynb'
    committed.write_text(json.dumps(lesson))
    assert 'L_lesson' not in book.read_pages(folder), 'it has no published outputs'
    committed.write_text(json.dumps({**lesson, 'metadata': {'genmix': {'published': 'x'}}}))
    assert [*book.read_pages(folder)][-1] == 'L_lesson'


def test_a_slider_takes_the_place_of_the_figure_that_carries_it(project, monkeypatch):
    monkeypatch.chdir(project)
    output = shown('blends', 50)
    output['data'][book.SLIDER] = '<div class="genmix-slider"></div>'
    write_run(project / 'runs' / 'small', {'07_a': notebook(code('s', 'slider(draw)', output))})
    (cell,) = book.read_pages(project / 'runs' / 'small')['07_a']['cells']
    (shown_in_book,) = cell['outputs']
    found = {kind: ''.join(text) for kind, text in shown_in_book['data'].items()}
    assert found == {'text/html': '<div class="genmix-slider"></div>', 'text/plain': 'blends'}


def test_an_unfinished_run_is_one_sentence(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert book.main(['--run', 'none']) == 1
    assert (
        capsys.readouterr().err
        == 'error: runs/none has no executed notebooks: run `make all RUN=none` first.\n'
    )
    assert not (project / 'runs' / 'none').exists()
    pages = small_run()
    pages['07_genmix']['cells'] = [c for c in pages['07_genmix']['cells'] if c['id'] != 'two']
    with pytest.raises(StudyError, match='"Figure 2".*make all RUN=small'):
        book.locate(pages, 'small')


def test_an_overview_that_shows_a_figure_again_is_not_where_it_is_made():
    pages = {'00_overview': notebook(code('again', "study.figure(fig, 'figure1')"))} | small_run()
    assert book.locate(pages, 'small')['Figure 1'][0] == '07_genmix'
    pages['00_overview']['cells'][0]['metadata']['tags'] = ['figure1']
    with pytest.raises(StudyError, match='"Figure 1".*have 2 of these'):
        book.locate(pages, 'small')


def test_the_notebooks_have_all_of_the_paper():
    every = {
        p.stem: json.loads(p.read_text(encoding='utf-8'))
        for p in sorted((ROOT / 'notebooks').glob('[0-9][0-9]_*.ipynb'))
    }
    places = {what: page for what, (page, _, _) in book.locate(every, 'cpu').items()}
    assert places == {
        'Figure 1': '00_overview',
        'The equation': '07_genmix',
        'Figure 2': '05_diffusion',
        'Figure 3': '07_genmix',
        'The table': '09_results',
        'Figure 4': '10_tsne',
    }


def test_every_work_that_a_notebook_links_to_is_in_the_bibliography():
    text = (ROOT / 'docs' / 'book' / 'references.bib').read_text(encoding='utf-8')
    works = book.works_of(text)
    linked = {
        i.lower()
        for p in (ROOT / 'notebooks').glob('*.ipynb')
        for i in book.WORK_ID.findall(p.read_text(encoding='utf-8'))
    }
    assert len(linked) > 20 and linked <= set(works), linked - set(works)
    assert len(set(works.values())) == text.count('\n@') + 1, 'every entry has a DOI or an arXiv number'
    assert all(
        i == f'10.48550/arxiv.{e}'
        for e, i in re.findall(r'eprint = \{(.+?)\}.*?doi = \{(.+?)\}', text.lower(), re.DOTALL)
    )
