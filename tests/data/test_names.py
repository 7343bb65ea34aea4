"""Names as text in Markdown and LaTeX, and those that a spreadsheet would run."""

from html.parser import HTMLParser

import pandas as pd
import pytest
from conftest import blobs
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from genmix import StudyError
from genmix.data import checks
from genmix.data.names import check_formulas, in_latex, in_markdown

NAMES = ['cyst', 'a_b', '_a_', '<img src=x onerror=alert(1)>', '&lt;', 'R$5$', '$$', 'a$\\b$c', '*x* `y`']
NAMES += ['a|b', '[x](y)', '![x](y)', '~~x~~', 'x\\', 'two\nlines', 'C#', 'Leberhämangiom 肝']


class Page(HTMLParser):
    """The text and the elements of a page."""

    def __init__(self, page):
        super().__init__()
        self.text, self.elements = '', set()
        self.feed(page)

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attributes):
        self.elements.add(tag)


@pytest.mark.parametrize('name', NAMES)
def test_markdown_shows_a_name_as_it_is(name):
    """Rendered as the book does, raw HTML and mathematics allowed, and read back as text."""
    markdown = MarkdownIt('commonmark').enable(['table', 'strikethrough']).use(dollarmath_plugin)
    shown = Page(markdown.render(f'- **g**: {in_markdown(name)}, and ({in_markdown(name)}) again'))
    text = ' '.join(name.split())
    assert shown.text.strip() == f'g: {text}, and ({text}) again'
    assert shown.elements <= {'ul', 'li', 'strong', 'span'}


def test_usual_names_stay_as_they_are():
    for name in ('cyst', 'genmix-textual_inversion', 'basal cell carcinoma (BCC), 2 mm', "Crohn's"):
        assert in_markdown(name) == name


def test_latex_prints_a_name_as_it_is():
    assert in_latex('a_b & 5 % of #2 {x}') == r'a\_b \& 5 \% of \#2 \{x\}'
    assert in_latex(r'\input{/etc/passwd} $x^2$ ~') == (
        r'\textbackslash{}input\{/etc/passwd\} \$x\textasciicircum{}2\$ \textasciitilde{}'
    )


FORMULAS = ["=cmd|' /C calc'!A1", '@SUM(1)', "+cmd|' /C calc'!A0", '-2+HYPERLINK("x")', '\t=1', '＝1']
FORMULAS += ['a;=1']


@pytest.mark.parametrize('name', FORMULAS)
@pytest.mark.parametrize('column', ['patient', 'class', 'id'])
def test_names_that_a_spreadsheet_would_run_are_refused(name, column):
    with pytest.raises(StudyError, match=f'^The {column} ".*" reads as a formula.*rename it.$'):
        check_formulas(pd.DataFrame({'id': 'a', 'patient': 'p', 'class': ['c', 'd'], column: ['x', name]}))


def test_names_that_only_look_like_one_are_taken():
    fine = ['-1', '+1', '-ve', '+ve', '-', 'a=b', 'x@y', '1-2', 'benign/a (1).png', '+/-', 'p 3;4']
    check_formulas(pd.DataFrame({'class': fine, 'label': range(len(fine))}))


def test_the_checks_of_a_cohort_look_for_them():
    cohort = blobs((6, 6))
    bad = type(cohort)(cohort.images, cohort.labels, cohort.patients, ['=1', 'b'], 'x')
    with pytest.raises(StudyError, match='The class "=1" reads as a formula'):
        checks.examine(bad)
