"""The small pretrained base: a text-to-image model of 64 px gray pictures that has never seen a CT, nor a phantom.

Two variants: `natural` was shown photographs, `mixed` photographs and procedural scenes.  `load(variant)` is a StableDiffusionPipeline; the
folder itself is an ordinary one for from_pretrained.  How they were made: pretrain.py, notebook A1_base_model; `make base` makes them again.

A package of its own rather than generators/pretrain.py: the base is no generator of lesions, it has five rooms (photographs, scenes, captions,
networks, training), and whatever lies in generators/ is imported with the registry.
"""

import hashlib
import json
from pathlib import Path

from genmix import StudyError
from genmix.generators.pretrained.networks import load_pipeline

VARIANTS = ('natural', 'mixed')
WEIGHTS = Path(__file__).parent / 'weights'


def card(variant, folder=WEIGHTS):
    """The model card of a variant: sources, licences, settings, losses, the hash of every file.  StudyError when it is not there."""
    if variant not in VARIANTS:
        raise StudyError(f'There is no base "{variant}": choose {" or ".join(VARIANTS)}.')
    try:
        return json.loads((Path(folder) / variant / 'card.json').read_text())
    except (OSError, json.JSONDecodeError):
        raise StudyError(
            f'The base "{variant}" has no readable card.json: {how_to_restore(variant)}.'
        ) from None


def check(variant, folder=WEIGHTS):
    """StudyError for the first file of a variant that is missing or not the one that its card lists; else the variant's folder."""
    home = Path(folder) / variant
    for name, expected in card(variant, folder)['sha256'].items():
        if not (home / name).exists():
            raise StudyError(f'The base "{variant}" lacks {name}: {how_to_restore(variant)}.')
        if sha256(home / name) != expected:
            raise StudyError(
                f'{name} of the base "{variant}" is not the file its card lists (sha256 differs): {how_to_restore(variant)}.'
            )
    return home


def how_to_restore(variant):
    return f'restore genmix/base/weights/{variant} with git checkout, or run make base'


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def load(variant, folder=WEIGHTS):
    """A variant as a StableDiffusionPipeline in float32 on this machine's device, DPM-Solver++ set, every file's hash checked first.

    Raises StudyError for an unknown variant, a missing or an altered file.
    """
    home = check(variant, folder)
    return load_pipeline(home)


PROMPTS = (
    'a photo of a cat',
    'a photo of coins',
    'a photo of bricks',
    'a photo of a flower',
    'a photo of grass',
    'a photo of the night sky',
    'a photo of a dark picture with large bright spot in the middle',
    'a photo of a gray picture with large dark spot in the middle',
    'a sharp medium dark disc in the middle on a plain gray background',
    'a soft large black blob with bright dots on a gray background',
    'many small white rings on a black background',
    'a blurred medium bright ellipse on a cloudy gray background with strong fine grain',
)
