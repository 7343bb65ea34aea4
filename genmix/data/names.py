"""Names that users gave to classes, patients and files: as text in Markdown and LaTeX, and in tables."""

import re
from unicodedata import normalize

import pandas as pd

from genmix import StudyError

MARKDOWN = {sign: f'\\{sign}' for sign in '\\`*[]|~'}
# An element of its own parts two dollars: what is between them would be mathematics in Jupyter and MyST.
MARKDOWN |= {'&': '&amp;', '<': '&lt;', '>': '&gt;', '$': r'<span>\$</span>'}
LATEX = {sign: f'\\{sign}' for sign in '&%$#_{}'}
LATEX |= {'\\': r'\textbackslash{}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}'}
# What a spreadsheet runs when it opens a table: a cell that begins with = or @, or with a sign and calls or
# refers to something; in half of Europe a cell ends at a semicolon.
FORMULA = re.compile(r'(?:^|[;\t\r\n])\s*(?:[=@]|[+-][^;]*[(|!=])')


def in_markdown(text):
    """`text` on one line, such that Markdown shows it as it is: no HTML, no mathematics, no end of a cell."""
    signs = ''.join(MARKDOWN.get(sign, sign) for sign in ' '.join(str(text).split()))
    return re.sub(r'(?<![^\W_])_|_(?![^\W_])', r'\\_', signs)  # within a word it is no emphasis


def in_latex(text):
    """`text` on one line, such that LaTeX prints it as it is and runs nothing."""
    return ''.join(LATEX.get(sign, sign) for sign in ' '.join(str(text).split()))


def check_formulas(manifest: pd.DataFrame) -> None:
    """StudyError for the first name of a manifest that a spreadsheet would run as a formula.

    Tables keep names as they are, so that they can be joined with the user's own: such a name is refused.
    """
    for column in manifest.select_dtypes(['object', 'string']):
        for name in manifest[column].astype(str).unique():
            if FORMULA.search(normalize('NFKC', name)):
                raise StudyError(
                    f'The {column} "{name}" reads as a formula, which a spreadsheet runs when it opens a '
                    'table of this study: rename it.'
                )
