"""Settings of Sphinx for the companion; tools/book.py puts the notebooks beside this file and calls it."""

import json
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

from tools.book import equation_id
from tools.outputs import alt_of

project, author = 'The GenMix study', ''
html_title = project
html_favicon = 'favicon.svg'
extensions = ['myst_nb', 'sphinxcontrib.bibtex', 'sphinx.ext.mathjax']

nb_execution_mode = 'off'
nb_ipywidgets_js = {}  # they would come from the network; a still picture stands in for a widget
nb_mime_priority_overrides = [('*', 'application/vnd.jupyter.widget-view+json', None)]
nb_merge_streams = True
nb_output_stderr = 'remove'
nb_render_markdown_format = 'myst'  # tables and equations in what cells print
myst_enable_extensions = ['dollarmath', 'attrs_inline']
bibtex_bibfiles = ['references.bib']
bibtex_default_style = 'plain'
bibtex_reference_style = 'author_year'

html_theme = 'sphinx_book_theme'
html_theme_options = {
    'home_page_in_toc': True,
    'use_fullscreen_button': False,
    'navbar_persistent': [],
    'footer_content_items': [],
    'search_bar_text': 'Search the companion',
}
html_context = {'default_mode': 'auto'}  # light or dark as the browser asks
html_use_index = html_show_copyright = False
html_show_search_summary = False  # a summary would fetch pages, which browsers refuse on a disk
# Equations from one file, letters drawn as paths: nothing is loaded from a network, and no font, which a
# browser refuses from a disk.
mathjax = Path(find_spec('sphinx-mathjax-offline').origin).parent / 'static' / 'mathjax' / 'tex-svg.js'
html_static_path = ['style.css', str(mathjax)]
html_css_files = ['style.css']
mathjax_path = 'tex-svg.js'

PICTURES = ('image/png', 'image/jpeg', 'image/gif', 'image/svg+xml')


class Marks(SphinxTransform):
    """Anchors of code cells and equations, alt text of images, links between notebooks."""

    default_priority = 210

    def apply(self):
        path = Path(self.env.doc2path(self.env.docname))
        if path.suffix == '.ipynb':
            self.mark_cells(json.loads(path.read_text(encoding='utf-8'))['cells'])
        for block in list(self.document.findall(nodes.math_block)):
            self.name(block, equation_id(block.astext()))
        for word in list(self.document.findall(nodes.literal)):
            self.link(word)

    def mark_cells(self, cells):
        """Anchors on the code cells, alt text on their images."""
        containers = list(self.document.findall(nodes.container))
        for node in [node for node in containers if node.get('nb_element') == 'cell_code']:
            cell = cells[node['cell_index']]
            self.name(node, f'cell-{cell["id"]}')
            images = [i for i in node.findall(nodes.image) if i.parent.get('mime_type') in PICTURES]
            outputs = [o for o in cell['outputs'] for kind in o.get('data', {}) if kind in PICTURES]
            for image, output in zip(images, outputs, strict=True):
                image['alt'] = alt_of(output)

    def name(self, node, anchor):
        """An anchor that pages link to as PAGE.ipynb#anchor."""
        if anchor not in self.document.ids:
            node['names'].append(f'{self.env.docname}-{anchor}')  # a cell id is unique in its notebook only
            node['ids'].append(anchor)
            self.document.note_explicit_target(node)

    def link(self, word):
        """`07_genmix` in prose becomes a link to that page."""
        name, page = word.astext(), self.env.docname
        linked = isinstance(word.parent, (nodes.reference, addnodes.pending_xref))
        if name in self.env.found_docs and name != page and not linked:
            about = {'refdomain': 'std', 'reftype': 'doc', 'reftarget': f'/{name}', 'refdoc': page}
            flags = {'refexplicit': True, 'refwarn': True}
            word.replace_self(addnodes.pending_xref('', word.deepcopy(), **about, **flags))


def setup(app):
    app.add_transform(Marks)
    return {'parallel_read_safe': True}
