"""What a run was asked:

a profile of params/, SET, and the parameters of each notebook that follow from both.
"""

import os
from difflib import get_close_matches
from pathlib import Path

import yaml

from genmix import StudyError
from genmix.run.files import atomic_write, file_lock, files_hash
from genmix.run.interactive import WHERE
from genmix.run.limits import check
from genmix.run.log import log

# Ten times as fast as the loader in Python, and equally safe.
LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
RESERVED = {'run'}  # the runner itself fills these parameters
ASKED = ('profile', 'set', 'notebooks', 'files')  # what params.yaml holds


def read_profile(path):
    """{section: {key: value}} of a profile; StudyError when it is missing or not two levels of plain YAML."""
    try:
        profile = yaml.load(Path(path).read_text(encoding='utf-8'), LOADER) or {}
    except FileNotFoundError:
        raise StudyError(f'There is no profile {path}: choose one of those in params/.') from None
    except yaml.YAMLError as error:
        why = str(error).splitlines()[0]
        raise StudyError(f'{path} is not plain YAML ({why}): correct that line.') from None
    if not isinstance(profile, dict) or not all(isinstance(section, dict) for section in profile.values()):
        raise StudyError(f'{path} must hold sections (common: and one per notebook) of "key: value" lines.')
    return profile


def notebooks_with(key, every):
    """Notebooks that declare `key` (plain, or NOTEBOOK.key)."""
    name, dot, plain = key.rpartition('.')
    known = [nb for nb in every if plain in nb.parameters and plain not in RESERVED]
    return [nb for nb in known if not dot or nb.name == name]


def parameter_of(every):
    """A function from a key of SET to the Parameter that it sets, None where no notebook declares it."""
    return lambda key: next(
        (nb.parameters[key.rpartition('.')[2]] for nb in notebooks_with(key, every)), None
    )


def resolve(profile, settings, every):
    """{notebook: {key: value}}: common keys where declared, then the notebook's own section, then SET.

    Raises StudyError for a section or key that no notebook knows, a value of the wrong type or out of the
    bounds that notebooks share, and a SET key that several sections fill differently.
    """
    for section in profile.keys() - {nb.name for nb in every} - {'common'}:
        raise StudyError(
            f'The profile has a section "{section}" but no notebook has that name: rename or remove it.'
        )
    common = profile.get('common', {})
    asked = [*common, *(f'{nb.name}.{key}' for nb in every for key in profile.get(nb.name, {})), *settings]
    if unknown := [key for key in asked if not notebooks_with(key, every)]:
        raise StudyError(_unknown(unknown[0], every))
    params = {}
    for nb in every:
        params[nb.name] = {k: v for k, v in common.items() if k in nb.parameters} | profile.get(nb.name, {})
    for key, value in settings.items():
        for nb in _set_in(key, value, profile, every):
            params[nb.name][key.rpartition('.')[2]] = value
    for nb in every:
        for key, value in params[nb.name].items():
            params[nb.name][key] = _accepted(nb, key, value)
    return params


def _set_in(key, value, profile, every):
    """Notebooks that a key of SET reaches; StudyError when their sections hold different values of it."""
    known, plain = notebooks_with(key, every), key.rpartition('.')[2]
    own = {nb.name: profile[nb.name][plain] for nb in known if plain in profile.get(nb.name, {})}
    if '.' not in key and any(v != next(iter(own.values())) for v in own.values()):
        raise StudyError(
            f'"{key}" is a parameter of {", ".join(own)}, which have different values: say which, as in '
            f'{next(iter(own))}.{key}={value}.'
        )
    return known


def _accepted(nb, key, value):
    """`value` as the notebook's parameter takes it; StudyError for a wrong type and for one out of bounds."""
    parameter = nb.parameters[key]
    value = parameter.read(value)
    if not parameter.accepts(value):
        raise StudyError(
            f'{nb.name}: {key} takes {parameter.kind} (default {parameter.default!r}), not {value!r}: '
            'correct the '
            'profile or SET.'
        )
    check(**{key: value})
    return value


def _unknown(key, every):
    names = {p for nb in every for p in nb.parameters} - RESERVED
    near = get_close_matches(key.rpartition('.')[2], names, 1)
    hint = f': did you mean "{near[0]}"?' if near else '; see the cells tagged "parameters".'
    return f'No notebook knows the parameter "{key}"{hint}'


def claim(study, profile_path, profile, settings, every, check_owners=lambda params: None):
    """Parameters of this run, written to params.yaml at its first call.

    A run keeps the profile name and SET it was first asked with: others are refused.  No SET means the
    run's own.  An edited profile file is taken over, with a line in the log.

    check_owners   called with new parameters: what costs imports, such as the bounds that configs own
    """
    path, name = study.path('params.yaml'), Path(profile_path).stem
    with file_lock(study.path('.params.lock')):
        before = read_claim(study)
        if before:
            settings = settings or before['set']
            if (before['profile'], _what(before['set'])) != (name, _what(settings)):
                asked = ' '.join(f'{k}={v}' for k, v in before['set'].items()) or 'nothing'
                raise StudyError(
                    f'runs/{study.run} was made with profile {before["profile"]} and SET of {asked}: choose '
                    f'another RUN=name for the new settings, or remove runs/{study.run} to start it again.'
                )
        params = resolve(profile, settings, every)
        now = {'profile': name, 'set': settings, 'notebooks': params, 'files': files_outside(params, study)}
        if before and before != now:
            log.info(
                f'the profile or the files it names have changed since runs/{study.run} was made: what '
                'depends on '
                'them runs again'
            )
        if before != now:
            check_owners(params)
        stale = [place for place in (copy_of(path), path) if before != now or not place.exists()]
        text = yaml.safe_dump(now, sort_keys=False, allow_unicode=True) if stale else ''
        for place in stale:
            with atomic_write(place) as part:
                part.write_text(text, encoding='utf-8')
    return now['notebooks']


def copy_of(path):
    """The hidden copy of params.yaml that heals it."""
    return path.with_name('.params.copy.yaml')


def read_claim(study):
    """What params.yaml of a run holds, None for a new run.

    Where it is gone, damaged or edited by hand, its copy is put back, with a line in the log.  StudyError
    when it is damaged and there is no sound copy.
    """
    path = study.folder / 'params.yaml'
    copy, now = _claim_in(copy_of(path)), _claim_in(path)
    if copy and copy != now:
        log.info(f'runs/{study.run}/params.yaml is not as it was written: its copy is put back')
        stamp = copy_of(path).stat()
        with atomic_write(path) as part:
            part.write_bytes(copy_of(path).read_bytes())
            os.utime(part, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        return copy
    if path.exists() and not now:
        raise StudyError(
            f'runs/{study.run}/params.yaml is damaged: remove it, and give the SET that this run was made '
            'with once more.'
        )
    return now


def _claim_in(path):
    """The content of a params.yaml, None where there is no sound one."""
    try:
        found = yaml.load(path.read_text(encoding='utf-8'), LOADER)
    except (OSError, ValueError, yaml.YAMLError):
        return None
    whole = isinstance(found, dict) and all(name in found for name in ASKED)
    return found if whole and all(isinstance(found[k], dict) for k in ASKED[1:]) else None


def _what(settings):
    """SET without what only says where the work is done."""
    return {k: v for k, v in settings.items() if k.rpartition('.')[2] not in WHERE}


def files_outside(params, study):
    """{path: hash} of files and folders that parameters name: a change in them changes the run."""
    named = set()
    for own in params.values():
        for key in ('data_dir', 'labels_csv', 'plugins'):
            value = own.get(key) or []
            named |= {value} if isinstance(value, str) else set(map(str, value))
    return {path: files_hash(study.outside(path)) for path in sorted(named) if study.outside(path).exists()}
