"""Settings of the base model; recipe.yaml is their only source."""

from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from genmix import StudyError
from genmix.generators.pretrained.networks import Size
from genmix.run.limits import bounded, check_fields

RECIPE = Path(__file__).with_name('recipe.yaml')


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Raises StudyError for a value out of its bounds."""

    packages: tuple  # where photographs and clip art come from
    composites: int = bounded(above=0)  # of clip art on grounds
    crops: int = bounded(above=0)  # of photographs
    scenes: int = bounded(above=0)
    captions: int = bounded(above=0)  # different captions of an image
    autoencoder_steps: int = bounded(above=0)
    autoencoder_batch: int = bounded(above=0)
    autoencoder_lr: float = bounded(above=0)
    noise: float = bounded(
        at_least=0
    )  # at most, added to half of the autoencoder's images, in half gray ranges
    energy: float = bounded(at_least=0)  # weight of local contrast in the autoencoder's loss
    whitening: float = bounded(at_least=0, at_most=1)  # of the latents, see autoencoder.Frequencies
    steps: int = bounded(above=0)  # of denoiser and text encoder of `natural`
    mixed_steps: int = bounded(above=0)  # and of `mixed`, which goes on from `natural`
    batch_size: int = bounded(above=0)
    lr: float = bounded(above=0)  # of AdamW
    muon_lr: float = bounded(at_least=0)  # of Muon, for the matrices of the denoiser; 0: AdamW for all
    condition_dropout: float = bounded(at_least=0, at_most=1)  # share of captions left empty in training
    min_snr: float = bounded(at_least=0)  # gamma of min-SNR weights, 0: off
    ema: float = bounded(at_least=0, at_most=1)
    checkpoint_every: int = bounded(above=0)  # steps
    seed: int = bounded(at_least=0)
    size: Size

    def __post_init__(self):
        check_fields(self)

    def of(self, variant):
        """The settings of a variant: `steps` are its own."""
        return replace(self, steps=self.mixed_steps) if variant == 'mixed' else self

    @classmethod
    def read(cls, path=RECIPE):
        """From a YAML file.  StudyError for a key that is no setting, or one that is missing."""
        found = yaml.safe_load(Path(path).read_text())
        known = cls.__dataclass_fields__
        if wrong := sorted(set(found) - set(known)) or sorted(set(known) - set(found)):
            raise StudyError(
                f'{path} must have exactly the settings {", ".join(known)}: check {", ".join(wrong)}.'
            )
        found = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
        size = {k: tuple(v) if isinstance(v, list) else v for k, v in found['size'].items()}
        return cls(**found | {'size': Size(**size)})
