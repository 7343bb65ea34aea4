"""SET: what differs from the profile, from text to values of the type that each parameter declares.

What is typed as a path stays text: no "#" begins a comment in it, and 012 is a number, not octal.
"""

import os
import re

import yaml

from genmix import StudyError

VARIABLE = 'GENMIX_SET'  # make hands SET over in the environment, where no shell reads it
PAIR = re.compile(r"""\s*([\w.]+)=(?:"(.*?)"|'(.*?)'|(.*?))(?=\s+[\w.]+=|\s*$)""", re.DOTALL)
ITEM = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^,]*?))\s*(?:,|$)""")
YES_NO = {'true': True, 'yes': True, 'on': True, 'false': False, 'no': False, 'off': False}


def split_set(text):
    """(key, value) pairs of SET as one text: a value ends where the next key= begins, or with its quotes."""
    pairs, at = [], 0
    while text[at:].strip():
        found = PAIR.match(text, at)
        if not found:
            raise StudyError(
                f'SET takes key=value without spaces around "=", not "{text[at:].strip()}": write it as in '
                'SET="alpha=0.2 data_dir=/a b".'
            )
        key, *values = found.groups()
        pairs.append((key, next(v for v in values if v is not None)))
        at = found.end()
    return pairs


def as_set(pairs):
    """SET of (key, value) pairs as one text, from which `split_set` reads them."""

    def written(value):
        text = f'[{",".join(map(str, value))}]' if isinstance(value, list | tuple) else str(value)
        mark = '"' if "'" in text else "'"
        return f'{mark}{text}{mark}' if re.search(r'\s', text) else text

    return ' '.join(f'{key}={written(value)}' for key, value in pairs)


def asked(words=()):
    """(key, value) pairs of the command line, each word a pair, or else of GENMIX_SET."""
    for word in words:
        if '=' not in word:
            raise StudyError(f'--set takes key=value, and "{word}" has no "=": write it as in alpha=0.2.')
    return [tuple(word.split('=', 1)) for word in words] or split_set(os.environ.get(VARIABLE, ''))


def read_settings(pairs, parameter_of):
    """{key: value} of pairs of text, each of the type of its parameter.

    parameter_of   gives the Parameter of a key, None for an unknown one, whose value stays text
    """
    return {key: typed(key, text, parameter_of(key)) for key, text in pairs}


def typed(key, text, parameter):
    """`text` as `parameter` takes it; as it is, where it does not read so: the type check names it then."""
    if parameter is None or (parameter.optional and text in ('null', 'None', '~')):
        return text if parameter is None else None
    default = parameter.default
    try:
        if isinstance(default, list):
            return _items(text, type(default[0]) if default else str)
        if isinstance(default, dict):
            return yaml.safe_load(text)
        if isinstance(default, float):
            return int(text) if text.strip().lstrip('+-').isdecimal() else float(text)
        if isinstance(default, bool):
            return YES_NO[text.lower()]
        return text if default is None else type(default)(text)
    except yaml.YAMLError:
        raise StudyError(
            f'The value of {key} in SET does not read as YAML: write it as in {key}="{{name: {{a: 1}}}}".'
        ) from None
    except (ValueError, KeyError):
        return text


def _items(text, kind):
    inside = text.strip()
    if not (inside.startswith('[') and inside.endswith(']')):
        raise ValueError
    inside, found, at = inside[1:-1].strip(), [], 0
    while at < len(inside):
        item = ITEM.match(inside, at)
        found.append(kind(next(v for v in item.groups() if v is not None)))
        at = item.end()
    return found
