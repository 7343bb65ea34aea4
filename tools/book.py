"""The companion as a site: the executed notebooks of a run, as pages that open from disk.

python -m genmix.book --run cpu      writes runs/cpu/book/index.html

`book/` holds what is written by hand (first page, bibliography, settings of Sphinx); the rest is computed from the notebooks.
"""

import argparse
import base64
import hashlib
import json
import re
import shutil
import sys
from importlib.util import find_spec

from genmix import StudyError
from genmix.run.files import file_lock, replace_folder
from genmix.run.log import MARK
from genmix.run.study import home
from tools.publish import presentable

PACKAGES = ('sphinx', 'myst_nb', 'sphinx_book_theme', 'sphinxcontrib.bibtex', 'sphinx-mathjax-offline')
# What of the paper is where: the kind of cell, and how its text is known.
PAPER = {
    'Figure 1': ('the method in one drawing', 'code', r"'figure1'\)"),
    'The equation': (
        'a real and a synthetic lesion, image and label, are mixed',
        'markdown',
        r'\$\$\s*\\tilde x.*?\$\$',
    ),
    'Figure 2': (
        'natural images turn into lesions while the diffusion model is fine-tuned',
        'code',
        r"'figure2'\)",
    ),
    'Figure 3': ('real, synthetic and GenMix lesions of each class', 'code', r"'figure3'\)"),
    'The table': ('what the classifier reaches under each augmentation', 'code', r'results_table\('),
    'Figure 4': ('t-SNE of what the classifiers see', 'code', r"'figure4'\)"),
}
WORK_ID = re.compile(r'(?:arxiv\.org/abs/|doi\.org/)([\w./()-]*\w)', re.IGNORECASE)


def text_of(cell):
    return ''.join(cell['source'])


def equation_id(latex):
    """The anchor of a display equation: it follows from what it says, so that a page and the index agree on it."""
    return 'equation-' + hashlib.sha256(''.join(latex.split()).encode()).hexdigest()[:8]


def read_pages(folder):
    """{name: notebook as JSON}, as they are shown, in running order.  StudyError when the run has none."""
    found = sorted(
        p
        for p in (folder / 'notebooks').glob('[0-9A-Z][0-9]_*.ipynb')
        if not p.name.endswith('.failed.ipynb')
    )
    if not found:
        raise StudyError(
            f'runs/{folder.name} has no executed notebooks: run `make all RUN={folder.name}` first.'
        )
    pages = {p.stem: presentable(json.loads(p.read_text(encoding='utf-8'))) for p in found}
    for content in pages.values():
        for cell in content['cells']:
            tags = cell['metadata'].get('tags', [])
            if 'solution' in tags:  # folded away: the reader thinks first
                cell['metadata']['tags'] = [*tags, 'hide-cell']
    return pages


def locate(pages, run):
    """{'Figure 1': (page, cell, anchor)} for everything in PAPER.  StudyError for what no page has.

    Several pages may show a figure (an overview repeats some): the last one is where it is made.
    """
    places = {}
    for what, (_, kind, pattern) in PAPER.items():
        hits = [
            (name, cell)
            for name, content in pages.items()
            for cell in content['cells']
            if cell['cell_type'] == kind and re.search(pattern, text_of(cell), re.DOTALL)
        ]
        if not hits:
            raise StudyError(
                f'No executed notebook of runs/{run} has what the book calls "{what}": finish it with `make all RUN={run}`.'
            )
        name, cell = hits[-1]
        latex = re.search(pattern, text_of(cell), re.DOTALL).group().strip('$')
        places[what] = (name, cell, f'cell-{cell["id"]}' if kind == 'code' else equation_id(latex))
    return places


def question_of(content):
    """The bold sentence that follows the title; '' where there is none."""
    found = re.search(r'^\*\*(.+?)\*\*', text_of(content['cells'][0]), re.DOTALL | re.MULTILINE)
    return ' '.join(found.group(1).split()) if found else ''


# ---- pieces of pages that are computed ----------------------------------------------------------------------------


def figure_index(places, source):
    """Rows of the paper's figures, table and equation: a link to the cell that makes each, a glance at it, its notebook."""
    rows = ['| of the paper | | here |', '|---|---|---|']
    for what, (page, cell, anchor) in places.items():
        link = f'{page}.ipynb#{anchor}'
        rows.append(
            f'| [**{what}**]({link}): {PAPER[what][0]} | {glance(what, cell, link, source)} | {{doc}}`{page}` |'
        )
    return '\n'.join(rows)


def glance(what, cell, link, source):
    """A small picture, kept in `source`, of a cell that drew one; the first part of an equation; else ''."""
    if cell['cell_type'] == 'markdown':
        latex = re.search(PAPER[what][2], text_of(cell), re.DOTALL).group().strip('$')
        return f'${" ".join(re.split(r",.qquad", latex)[0].split())}$'
    shown = next((o for o in cell['outputs'] if 'image/png' in o.get('data', {})), None)
    if not shown:
        return ''
    name = what.lower().replace(' ', '') + '.png'
    (source / name).write_bytes(base64.b64decode(''.join(shown['data']['image/png'])))
    return f'[![{in_link(alt_of(shown) or what)}]({name}){{width=320px}}]({link})'


def alt_of(output):
    """Alt text of an image output: its metadata, else the plain text beside it; '' without either."""
    data, about = output.get('data', {}), output.get('metadata', {})
    said = next(
        (about[kind]['alt'] for kind in data if kind.startswith('image/') and about.get(kind, {}).get('alt')),
        '',
    )
    plain = ''.join(data.get('text/plain', ''))
    return said or ('' if plain.startswith('<') else plain)


def in_link(text):
    """`text` without the signs that mean something in Markdown's links and tables."""
    return re.sub(r'[\[\]|`*_\\$<>\n]', ' ', text)


def notebook_list(pages):
    rows = ['| notebook | question | |', '|---|---|---|']
    for name, content in pages.items():
        question = question_of(content).replace('|', '\\|')
        rows.append(
            f'| {{doc}}`{name}` | {question} | <a href="_sources/{name}.ipynb" download>download</a> |'
        )
    return '\n'.join(rows)


def contents(pages):
    """The side bar: numbered notebooks, appendices where the run has some, bibliography."""
    study, appendices = [n for n in pages if n[0].isdigit()], [n for n in pages if not n[0].isdigit()]
    parts = {'The study': study, 'Appendices': appendices, 'Sources': ['bibliography']}
    return '\n\n'.join(
        '\n'.join(['```{toctree}', ':hidden:', f':caption: {caption}', '', *names, '```'])
        for caption, names in parts.items()
        if names
    )


def cited(pages, works):
    """One line a notebook: the works of the bibliography that it links to."""
    lines = []
    for name, content in pages.items():
        ids = [
            m.lower()
            for cell in content['cells']
            if cell['cell_type'] == 'markdown'
            for m in WORK_ID.findall(text_of(cell))
        ]
        keys = list(dict.fromkeys(works[i] for i in ids if i in works))
        if keys:
            lines.append(f'- {{doc}}`{name}`: {{cite:t}}`{",".join(keys)}`')
    return '\n'.join(lines)


def works_of(bibliography):
    """{arXiv id or DOI, in small letters: key} of a BibTeX file."""
    entries = re.findall(r'@\w+\{(\S+?),(.*?)\n\}', bibliography, re.DOTALL)
    return {
        i.lower(): key
        for key, fields in entries
        for i in re.findall(r'^ *(?:eprint|doi) *= *\{(.+?)\}', fields, re.MULTILINE)
    }


# ---- building -----------------------------------------------------------------------------------------------------


def prepare(pages, places, source, run):
    """Everything that Sphinx reads, in the folder `source`."""
    shutil.copytree(home() / 'book', source, ignore=shutil.ignore_patterns('__pycache__'))
    for name, content in pages.items():
        (source / f'{name}.ipynb').write_text(
            json.dumps(content, indent=1, ensure_ascii=False), encoding='utf-8'
        )
    pieces = {
        'figures': figure_index(places, source),
        'notebooks': notebook_list(pages),
        'contents': contents(pages),
        'cited': cited(pages, works_of((source / 'references.bib').read_text(encoding='utf-8'))),
        'run': run,
    }
    for page in source.glob('*.md'):
        text = page.read_text(encoding='utf-8')
        for name, piece in pieces.items():
            text = text.replace(f'<!-- {name} -->', piece)
        page.write_text(text, encoding='utf-8')


def build(run):
    """Write runs/<run>/book/ and return it.  StudyError for a run that is not finished, and for packages that are missing."""
    folder = home() / 'runs' / run
    pages = read_pages(folder)
    places = locate(pages, run)
    if missing := [name for name in PACKAGES if not present(name)]:
        raise StudyError(
            f'The book needs packages that are not here ({", ".join(missing)}): pip install -e ".[book]"'
        )
    from sphinx.cmd.build import build_main

    work = folder / '.book'
    with file_lock(folder / '.book.lock'):
        shutil.rmtree(work, ignore_errors=True)  # left by a build that was killed
        try:
            prepare(pages, places, work / 'source', run)
            if build_main(
                ['-q', '-b', 'html', '-d', str(work / 'doctrees'), str(work / 'source'), str(work / 'site')]
            ):
                raise StudyError('Sphinx could not build the book: mend what it says above.')
            for what, (page, _, anchor) in places.items():
                if f'id="{anchor}"' not in (work / 'site' / f'{page}.html').read_text(encoding='utf-8'):
                    raise StudyError(
                        f'{page}.html has no anchor {anchor} for "{what}": mend the cell, or PAPER in genmix/book.py.'
                    )
            replace_folder(work / 'site', folder / 'book')
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return folder / 'book'


def present(package):
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of a package inside one that is missing
        return False


def main(argv=None):
    parser = argparse.ArgumentParser(prog='python -m genmix.book', description=__doc__.splitlines()[0])
    parser.add_argument(
        '--run', default='cpu', help='name of the run folder below runs/ (default %(default)s)'
    )
    args = parser.parse_args(argv)
    try:
        site = build(args.run)
    except StudyError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'{MARK} open {(site / "index.html").relative_to(home())} in a browser', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
