"""The companion as a site: the executed notebooks of a run, as pages that open from disk.

python -m tools.book --run cpu      writes runs/cpu/book/index.html

`docs/book/` holds what is written by hand (first page, bibliography, settings of Sphinx), `docs/` the pages
on the project; the rest is computed from the notebooks.
"""

import base64
import hashlib
import json
import re
import shutil
import sys
from importlib.util import find_spec

from genmix import StudyError
from genmix.run.files import file_lock, replace_folder
from genmix.run.log import log
from genmix.run.notebooks import LESSON, NAMES, SLIDER, question
from genmix.run.study import Study, home
from tools import cli
from tools.outputs import alt_of, code_cells, joined, read_executed, tags

PACKAGES = ('sphinx', 'myst_nb', 'sphinx_book_theme', 'sphinxcontrib.bibtex', 'sphinx-mathjax-offline')
# What of the paper is where: the tag of the cell that makes it, and what it shows.
PAPER = {
    'Figure 1': ('figure1', 'the method in one drawing'),
    'The equation': ('equation', 'a real and a synthetic lesion, image and label, are mixed'),
    'Figure 2': ('figure2', 'natural images turn into lesions while the diffusion model is fine-tuned'),
    'Figure 3': ('figure3', 'real, synthetic and GenMix lesions of each class'),
    'The table': ('table', 'what the classifier reaches under each augmentation'),
    'Figure 4': ('figure4', 't-SNE of the penultimate features of the classifiers'),
}
WORK_ID = re.compile(r'(?:arxiv\.org/abs/|doi\.org/)([\w./()-]*\w)', re.IGNORECASE)


def equation_id(latex):
    """The anchor of a display equation, a hash of its text: a page and the index agree on it."""
    return 'equation-' + hashlib.sha256(''.join(latex.split()).encode()).hexdigest()[:8]


def equation_of(cell):
    """LaTeX of the first display equation of a Markdown cell."""
    return joined(cell['source']).split('$$')[1]


def read_pages(folder):
    """{name: notebook as JSON}, as they are shown, in running order.  StudyError when the run has none."""
    found = sorted((folder / 'notebooks').glob(NAMES))
    found = [path for path in found if not path.name.endswith('.failed.ipynb')]
    if not found:
        raise StudyError(
            f'runs/{folder.name} has no executed notebooks: run `make all RUN={folder.name}` first.'
        )
    pages = {path.stem: read_executed(path) for path in found}
    committed = home() / 'notebooks' / f'{LESSON}.ipynb'
    if LESSON not in pages and committed.exists() and 'published' in committed.read_text(encoding='utf-8'):
        pages[LESSON] = read_executed(committed)
    for cell in (cell for content in pages.values() for cell in code_cells(content)):
        for data in (output.get('data', {}) for output in cell['outputs']):
            if SLIDER in data:
                data['text/html'] = data.pop(SLIDER)
                del data['image/png']
    for cell in (cell for content in pages.values() for cell in content['cells']):
        if cell['cell_type'] == 'markdown':
            cell['source'] = links_within(joined(cell['source']), pages)
        if {'solution', 'parameters'} & {*tags(cell)}:  # folded away: the reader thinks first
            cell['metadata']['tags'] = [*tags(cell), 'hide-cell']
    return pages


def links_within(text, pages):
    """Markdown whose links to notebooks that are not among `pages` became plain text."""
    link = r'\[([^\]]+)\]\((\w+)\.ipynb\)'
    return re.sub(link, lambda found: found[0] if found[2] in pages else found[1], text)


def locate(pages, run):
    """{'Figure 1': (page, cell, anchor)} for all of PAPER.  StudyError unless just one cell carries a tag."""
    places = {}
    for what, (tag, _) in PAPER.items():
        hits = [(name, cell) for name in pages for cell in pages[name]['cells'] if tag in tags(cell)]
        if len(hits) != 1:
            raise StudyError(
                f'"{what}" of the book is the cell tagged {tag}, and the notebooks of runs/{run} have '
                f'{len(hits)} of these, not one: finish the run with `make all RUN={run}`, or fix the tags.'
            )
        name, cell = hits[0]
        code = cell['cell_type'] == 'code'
        places[what] = name, cell, f'cell-{cell["id"]}' if code else equation_id(equation_of(cell))
    return places


# ---- parts of pages that are computed ----


def figure_index(places, source):
    """Rows for all of PAPER: a link to the cell that makes it, a thumbnail, its notebook."""
    rows = ['| of the paper | | here |', '|---|---|---|']
    for what, (page, cell, anchor) in places.items():
        link = f'{page}.ipynb#{anchor}'
        thumbnail = thumbnail_of(what, cell, link, source)
        rows.append(f'| [**{what}**]({link}): {PAPER[what][1]} | {thumbnail} | {{doc}}`{page}` |')
    return '\n'.join(rows)


def thumbnail_of(what, cell, link, source):
    """The first image of a cell, saved in `source`, as a link; the first part of an equation; else ''."""
    if cell['cell_type'] == 'markdown':
        first = equation_of(cell).split(r',\qquad')[0]
        return f'${" ".join(first.split())}$'
    shown = next((o for o in cell['outputs'] if 'image/png' in o.get('data', {})), None)
    if not shown:
        return ''
    name = what.lower().replace(' ', '') + '.png'
    (source / name).write_bytes(base64.b64decode(shown['data']['image/png']))
    return f'[![{in_link(alt_of(shown) or what)}]({name}){{width=320px}}]({link})'


def in_link(text):
    """`text` without the signs that mean something in Markdown's links and tables."""
    return re.sub(r'[\[\]|`*_\\$<>\n]', ' ', text)


def notebook_list(pages):
    rows = ['| notebook | question | |', '|---|---|---|']
    for name, content in pages.items():
        asked = question(content).replace('|', '\\|')
        link = f'<a href="_sources/{name}.ipynb" download>download</a>'
        rows.append(f'| {{doc}}`{name}` | {asked} | {link} |')
    return '\n'.join(rows)


def project_pages():
    return sorted((home() / 'docs').glob('*.md'))


def contents(pages):
    """The side bar: numbered notebooks, the lesson, appendices of the run, pages of docs/, bibliography."""
    parts = {
        'The study': [name for name in pages if name[0].isdigit()],
        'For teaching': [name for name in pages if name == LESSON],
        'Appendices': [name for name in pages if not name[0].isdigit() and name != LESSON],
        'The project': [page.stem for page in project_pages()],
        'Sources': ['bibliography'],
    }
    return '\n\n'.join(
        '\n'.join(['```{toctree}', ':hidden:', f':caption: {caption}', '', *names, '```'])
        for caption, names in parts.items()
        if names
    )


def cited(pages, works):
    """One line per notebook: the works of the bibliography that it links to."""
    rows = []
    for name, content in pages.items():
        prose = '\n'.join(joined(c['source']) for c in content['cells'] if c['cell_type'] == 'markdown')
        found = map(str.lower, WORK_ID.findall(prose))
        if keys := list(dict.fromkeys(works[i] for i in found if i in works)):
            rows.append(f'- {{doc}}`{name}`: {{cite:t}}`{",".join(keys)}`')
    return '\n'.join(rows)


def works_of(bibliography):
    """{arXiv id or DOI, in small letters: key} of a BibTeX file."""
    entries = re.findall(r'@\w+\{(\S+?),(.*?)\n\}', bibliography, re.DOTALL)
    return {
        i.lower(): key
        for key, fields in entries
        for i in re.findall(r'^ *(?:eprint|doi) *= *\{(.+?)\}', fields, re.MULTILINE)
    }


# ---- building ----


def prepare(pages, places, source, run):
    """Everything that Sphinx reads, in the folder `source`."""
    shutil.copytree(home() / 'docs' / 'book', source, ignore=shutil.ignore_patterns('__pycache__'))
    for page in project_pages():
        shutil.copy(page, source)
    for name, content in pages.items():
        text = json.dumps(content, indent=1, ensure_ascii=False).replace('(../README.md)', '(index.md)')
        (source / f'{name}.ipynb').write_text(text, encoding='utf-8')
    parts = {
        'figures': figure_index(places, source),
        'notebooks': notebook_list(pages),
        'contents': contents(pages),
        'cited': cited(pages, works_of((source / 'references.bib').read_text(encoding='utf-8'))),
        'run': run,
    }
    for page in source.glob('*.md'):
        text = page.read_text(encoding='utf-8')
        for name, part in parts.items():
            text = text.replace(f'<!-- {name} -->', part)
        page.write_text(text, encoding='utf-8')


def build(run):
    """Write runs/<run>/book/ and return it.  StudyError for an unfinished run and for missing packages."""
    folder = Study(run).folder
    pages = read_pages(folder)
    places = locate(pages, run)
    if missing := [name for name in PACKAGES if not present(name)]:
        raise StudyError(
            f'The book needs packages that are not here ({", ".join(missing)}): pip install -e ".[book]"'
        )
    work = folder / '.book'
    with file_lock(folder / '.book.lock'):
        shutil.rmtree(work, ignore_errors=True)  # left by a build that was killed
        try:
            prepare(pages, places, work / 'source', run)
            replace_folder(render(work, places), folder / 'book')
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return folder / 'book'


def render(work, places):
    """Let Sphinx make work/site from work/source.  StudyError when it fails or an anchor is missing."""
    from sphinx.cmd.build import build_main

    source, site = work / 'source', work / 'site'
    if build_main(['-q', '-b', 'html', '-d', str(work / 'doctrees'), str(source), str(site)]):
        raise StudyError('Sphinx could not build the book: fix what it says above.')
    for what, (page, _, anchor) in places.items():
        if f'id="{anchor}"' not in (site / f'{page}.html').read_text(encoding='utf-8'):
            raise StudyError(f'{page}.html has no anchor {anchor} for "{what}": fix its cell.')
    return site


def present(package):
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of a package inside one that is missing
        return False


@cli.command
def main(argv):
    args = cli.parser('tools.book', __doc__, run=True).parse_args(argv)
    site = build(args.run)
    log.info(f'open {(site / "index.html").relative_to(home())} in a browser')


if __name__ == '__main__':
    sys.exit(main())
