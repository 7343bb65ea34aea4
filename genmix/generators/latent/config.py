"""Parameters of Textual Inversion and fine-tuned diffusion, and their bounds; they need no torch."""

import json
from dataclasses import dataclass

from genmix import StudyError
from genmix.generators.pretrained import shipped
from genmix.run.limits import bounded, check_fields


@dataclass(frozen=True, kw_only=True)
class LatentConfig:
    """What both share.  Raises StudyError for a value out of its bounds.

    base, revision      `natural`, `mixed`, or a repository or folder in the layout of diffusers, and its
                        revision
    steps, batch_size   of training, classes drawn equally often; lr, the peak learning rate of AdamW
    min_snr             gamma of min-SNR loss weights (Hang et al. 2023, arXiv 2303.09556); 0 leaves them out
    ema                 decay per step of the exponential moving average whose weights are sampled from
    d4_augmentation     train on all eight flips and rotations of each lesion; False for oriented images
    checkpointing       recompute activations in the backward pass to save memory
    guidance            classifier-free guidance when sampling; 1 is none
    sampling_steps      of DPM-Solver++
    nps_correction      add noise with the power spectrum that samples lack (see noise_texture)
    snapshot_samples    samples per class in each snapshot of the training
    snapshots           how many snapshots, the first one before training
    seed                of initial weights, batches and noise
    """

    base: str
    revision: str | None
    steps: int = bounded(above=0)
    batch_size: int = bounded(above=0)
    lr: float = bounded(above=0)
    min_snr: float = bounded(at_least=0)
    ema: float = bounded(at_least=0, at_most=1)
    d4_augmentation: bool
    checkpointing: bool
    guidance: float = bounded(at_least=0)
    sampling_steps: int = bounded(above=0)
    nps_correction: bool
    snapshot_samples: int = bounded(above=0)
    snapshots: int = bounded(at_least=3)
    seed: int = bounded(at_least=0)

    def __post_init__(self):
        check_fields(self)

    def inputs(self):
        """Hashes of files that a fit depends on beside code and lesions: the parts of a shipped base."""
        if self.base not in shipped.VARIANTS:
            return []
        parts = {file: sha for file, sha in shipped.card(self.base)['sha256'].items() if '/' in file}
        return [json.dumps(parts, sort_keys=True)]


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig(LatentConfig):
    """Fine-tuning a denoiser.

    muon_lr             peak learning rate of Muon, for the matrices of the denoiser; 0: AdamW for all
    prompts             what classes start from, in turn, with a base that reads prompts; [] takes "a picture
                        of a <class>"
    condition_dropout   share of conditions left out in training, which classifier-free guidance needs
    lora_rank           of adapters on the attention layers (Hu et al. 2021, arXiv 2106.09685); 0 trains every
                        weight
    processes           that share each batch; numbers are equal up to rounding, whatever their count
    scratch             start from random initialisation: the control
    """

    muon_lr: float = bounded(at_least=0)
    prompts: list
    condition_dropout: float = bounded(at_least=0, at_most=1)
    lora_rank: int = bounded(at_least=0)
    processes: int = bounded(above=0)
    scratch: bool


@dataclass(frozen=True, kw_only=True)
class TextualInversionConfig(LatentConfig):
    """Learning tokens for a frozen model.

    num_vectors       embedding vectors of each token
    per_layer         a token has vectors of its own for each cross-attention layer of the U-Net (see
                      layer_tokens); False as published
    initialiser       words that the vectors start from: 'measured', '' for the mean embedding, words for all
                      classes, or a list of them, one per class (see learned_tokens.initial_words)
    templates         training prompts with `{}` for the token; the first one is used for sampling
    strength          0 samples from noise; above, from training lesions of the class, noised to this share of
                      the way (image to image, as in DA-Fusion, Trabucco et al. 2023, arXiv 2302.07944)
    """

    num_vectors: int = bounded(above=0)
    per_layer: bool
    initialiser: str | list
    templates: list
    strength: float = bounded(at_least=0, at_most=1)

    def __post_init__(self):
        super().__post_init__()
        for template in self.templates or ['']:
            if template.count('{}') != 1:
                raise StudyError(
                    f'The template "{template}" must have one place for the token: write {{}} there once, '
                    'as in "a picture of a {}".'
                )
