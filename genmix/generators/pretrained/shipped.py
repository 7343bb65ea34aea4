"""The small pretrained base: a text-to-image model of 64 px gray pictures, trained without CT or phantoms.

Two variants: `natural` was trained on pictures (clip art on grounds, photographs), `mixed` on these and on
procedural scenes.  A folder of weights is an ordinary one for StableDiffusionPipeline.from_pretrained.  How
they were made: tools/base, shown by notebook A1_base_model; `make base` makes them again.
"""

import hashlib
import json
from pathlib import Path

from genmix import StudyError

VARIANTS = ('natural', 'mixed')
WEIGHTS = Path(__file__).parent / 'weights'
PROMPTS = (  # what the sample sheets show
    'a photo of a flower',
    'a picture of a cat',
    'a house on a plain bright background',
    'a large white star on a black photo',
    'a tree',
    'a smiley in the middle',
    'a large fish on a shaded gray background',
    'a photo of coins',
    'a photo of bricks',
    'a large sharp dark disc in the middle on a plain bright background',
    'a medium bright ring in the middle on a plain dark background',
    'a blurred medium bright ellipse on a cloudy gray background with strong fine grain',
)


def card(variant, folder=WEIGHTS):
    """The model card of a variant as a dict: sources, licences, settings, the hash of every file.

    Raises StudyError when it is not there.
    """
    if variant not in VARIANTS:
        raise StudyError(f'There is no base "{variant}": choose {" or ".join(VARIANTS)}.')
    try:
        return json.loads((Path(folder) / variant / 'card.json').read_text())
    except (OSError, json.JSONDecodeError):
        raise StudyError(
            f'The base "{variant}" has no readable card.json: {how_to_restore(variant)}.'
        ) from None


def check(variant, folder=WEIGHTS):
    """The folder of a variant, every file of it checked against its card.

    Raises StudyError for the first file that is missing or altered.
    """
    home = Path(folder) / variant
    for name, expected in card(variant, folder)['sha256'].items():
        if not (home / name).exists():
            raise StudyError(f'The base "{variant}" lacks {name}: {how_to_restore(variant)}.')
        if sha256(home / name) != expected:
            raise StudyError(
                f'{name} of the base "{variant}" is not the file its card lists (sha256 differs): '
                f'{how_to_restore(variant)}.'
            )
    return home


def how_to_restore(variant):
    return f'restore genmix/generators/pretrained/weights/{variant} with git checkout, or run make base'


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def load(variant, folder=WEIGHTS):
    """A variant as a StableDiffusionPipeline in float32 on this machine's device, with DPM-Solver++.

    Raises StudyError for an unknown variant, a missing or an altered file.
    """
    from genmix.generators.pretrained.networks import load_pipeline  # here, so that a card needs no torch

    return load_pipeline(check(variant, folder))
