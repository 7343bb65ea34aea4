"""The outputs of an executed notebook, without what belongs to one machine and one hour."""

import base64
import copy
import io
import json
import re

from PIL import Image

from genmix import StudyError

REPR = re.compile(r'<[\w.]+ object>|<[\w.]+(?: object)? at 0x[0-9a-f]+>')  # of an object that prints no value
BAR = re.compile(r'\d+%\|')  # of tqdm
STYLED = re.compile(r'\bT_[0-9a-f]{5}(?=["_])')  # the random id that pandas gives a styled table
WIDGET = 'application/vnd.jupyter.widget-view+json'


def read_executed(path):
    """An executed notebook of a run, `presentable`; StudyError when the file is damaged."""
    try:
        return presentable(json.loads(path.read_text(encoding='utf-8')))
    except (ValueError, KeyError, TypeError):
        raise StudyError(f'{path} is damaged: call make all for this run, which executes it again.') from None


def presentable(content):
    """The executed notebook `content` (a dict, left as it is) with clean outputs; cells and alt text stay.

    Removed are the injected parameters, papermill's notes, stderr (and with it the log), progress bars
    and addresses in memory; execution counts are 1 to n.
    """
    content = copy.deepcopy(content)
    content['cells'] = [c for c in content['cells'] if 'injected-parameters' not in tags(c)]
    for noise in ('papermill', 'widgets'):
        content['metadata'].pop(noise, None)
    content['metadata'].get('language_info', {}).pop('version', None)
    for cell in content['cells']:
        for noise in ('papermill', 'execution', 'ExecuteTime'):
            cell['metadata'].pop(noise, None)
        if not tags(cell):
            cell['metadata'].pop('tags', None)
    for n, cell in enumerate(code_cells(content), 1):
        cell['execution_count'], cell['outputs'] = n, cleaned(cell['outputs'], cell.get('id', n))
        for output in cell['outputs']:
            if output['output_type'] == 'execute_result':
                output['execution_count'] = n
    return content


def tags(cell):
    return cell['metadata'].get('tags', [])


def code_cells(content):
    return [c for c in content['cells'] if c['cell_type'] == 'code']


def cleaned(outputs, cell):
    """The outputs of one cell without noise; neighbouring pieces of printed text are joined."""
    kept = []
    for output in outputs:
        if output['output_type'] == 'stream':
            text = printed(output) if output['name'] == 'stdout' else ''
            if text and kept and kept[-1]['output_type'] == 'stream':
                kept[-1]['text'] += lines(text)
            elif text:
                kept.append({**output, 'text': lines(text)})
        elif 'data' not in output:
            kept.append(output)
        elif data := shown_data(output, f'T_{cell}-{len(kept)}'):
            about = {kind: value for kind, value in output.get('metadata', {}).items() if kind in data}
            kept.append({**output, 'data': data, 'metadata': about})
    return kept


def printed(output):
    """Text of a stream without progress bars; where a line was overwritten, its last state."""
    kept = []
    for line in lines(joined(output['text'])):
        last = line.rstrip('\r\n').rpartition('\r')[2]
        if not BAR.search(last):
            kept.append(last + '\n' * line.endswith('\n'))
    return ''.join(kept)


def shown_data(output, table):
    """{type: data} of a shown value, {} for a progress bar; `table` replaces the id of a styled table."""
    data = {kind: joined(value) if is_text(kind) else value for kind, value in output['data'].items()}
    if WIDGET in data or '<progress' in data.get('text/html', ''):
        return {}
    if 'text/html' in data:
        data['text/html'] = STYLED.sub(table, data['text/html'])
    if 'image/png' in data:
        data['image/png'] = packed(joined(data['image/png']))
    if REPR.fullmatch(plain := data.get('text/plain', '').strip()):
        if alt := alt_of(output):
            data['text/plain'] = alt
        elif len(data) > 1:
            del data['text/plain']
        else:
            data['text/plain'] = plain.split(' ')[0].strip('<>')
    return {kind: lines(value) if is_text(kind) else value for kind, value in data.items()}


def alt_of(output):
    """Alt text of an image output: its metadata, else the plain text beside it; '' without either."""
    about = output.get('metadata', {})
    alts = [about.get(kind, {}).get('alt') for kind in output['data'] if kind.startswith('image/')]
    plain = joined(output['data'].get('text/plain', ''))
    return next(filter(None, alts), '' if plain.lstrip().startswith('<') else plain)


def packed(png):
    """A PNG (base64), lossless in fewer bytes: one channel or a palette where these have the same pixels."""
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    pixels, rgb = image.convert('RGBA').tobytes(), image.convert('RGB')
    for form in (rgb.convert('L'), rgb.quantize(256, dither=Image.Dither.NONE), rgb):
        if form.convert('RGBA').tobytes() == pixels:
            file = io.BytesIO()
            form.save(file, 'png', optimize=True)
            return min(png, base64.b64encode(file.getvalue()).decode(), key=len)
    return png


def is_text(kind):
    return kind.startswith('text/')


def joined(text):
    return text if isinstance(text, str) else ''.join(text)


def lines(text):
    """Text as notebooks store it: lines with their ends.  (str.splitlines also breaks at a form feed.)"""
    return re.findall(r'[^\n]*\n|[^\n]+', text)
