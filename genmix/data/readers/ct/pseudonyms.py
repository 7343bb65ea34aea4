"""Patients' identifiers replaced by salted hashes."""

import hashlib
import hmac
import os
from pathlib import Path

from genmix import StudyError

SALT = 16  # characters of the secret at least


def pseudonyms(patients):
    """{patient: 'P0001-' and 10 hex digits}, for an iterable of identifiers with repetitions.

    The number is the order of appearance, so that a split is the same everywhere; the digits are a salted
    hash.
    """
    secret = salt().encode()

    def digest(patient):
        return hmac.new(secret, patient.encode(), hashlib.sha256).hexdigest()[:10]

    return {patient: f'P{i:04d}-{digest(patient)}' for i, patient in enumerate(dict.fromkeys(patients), 1)}


def salt():
    """The secret that patient ids are hashed with: GENMIX_SALT, or one drawn once and saved for the user.

    It is outside every run folder, so that whoever has a run cannot try out patient numbers.  The same salt
    gives the same ids elsewhere.  Raises StudyError for a secret that is too short or cannot be saved.
    """
    if given := os.environ.get('GENMIX_SALT'):
        if len(given) < SALT:
            raise StudyError(
                f'GENMIX_SALT has {len(given)} characters, few enough to be guessed: give it {SALT} or more.'
            )
        return given
    path = Path(os.environ.get('XDG_CONFIG_HOME') or Path.home() / '.config') / 'genmix' / 'salt'
    try:
        secret = _saved_secret(path)
    except (OSError, UnicodeDecodeError):
        raise StudyError(
            f'The secret that patients are named with cannot be saved in "{path.parent}": '
            f'set GENMIX_SALT to {SALT} characters or more.'
        ) from None
    if len(secret) < SALT:
        raise StudyError(
            f'"{path}" is empty or cut short: restore it, or remove it to have patients named anew.'
        )
    return secret


def _saved_secret(path):
    """The text of the file `path`, drawn at random where there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f'.salt.{os.getpid()}.part')
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w') as handle:
                handle.write(os.urandom(16).hex())
            os.link(part, path)  # appears whole, and never over another's
        except FileExistsError:  # another process drew it first
            pass
        finally:
            part.unlink(missing_ok=True)
    return path.read_text().strip()
