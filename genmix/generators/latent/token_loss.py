"""What the embeddings of new tokens are trained on: lesions under prompts with the token of their class.

The loss is that of Textual Inversion as published (Gal et al. 2023, arXiv 2208.01618).
"""

import numpy as np
import torch

from genmix import StudyError
from genmix.data.images import resize_uint8, symmetries
from genmix.data.sampling import sample_rows
from genmix.generators.latent.frozen_pipeline import batch_size_of, side_of
from genmix.generators.latent.loss import denoising_loss, training_schedule
from genmix.generators.pretrained import networks
from genmix.run.device import send


class InversionData:
    """Latents of the training lesions (in all symmetries with d4_augmentation) and prompts of each class.

    Latents are computed once: float32 (views, lesions, C, h, w).  Prompt k * len(templates) + i is template i
    with the token of class k.  Raises StudyError for a prompt that the text encoder would truncate.
    """

    def __init__(self, pipeline, cohort, tokens, templates, d4_augmentation):
        self.pipeline, self.labels = pipeline, cohort.labels
        self.classes, self.templates = len(tokens), len(templates)
        views = symmetries(cohort.images) if d4_augmentation else cohort.images[None]
        side, batch = side_of(pipeline), batch_size_of(pipeline)
        resized = (resize_uint8(np.ascontiguousarray(view), side) for view in views)
        self.latents = torch.stack([networks.encode(pipeline.vae, x, batch) for x in resized])
        self.ids = token_ids(pipeline, [template.format(token) for token in tokens for template in templates])
        self.schedule = training_schedule(pipeline.scheduler)

    def sample_batch(self, n, generator):
        """n lesions, classes drawn equally often: latents (n, C, h, w) and a prompt number for each."""

        def below(m):
            return torch.randint(m, (n,), generator=generator)

        labels, template, view = below(self.classes), below(self.templates), below(len(self.latents))
        rng = np.random.default_rng(torch.randint(2**31, (1,), generator=generator).item())
        rows = sample_rows(labels.numpy(), self.labels, rng)
        return self.latents[view, rows], labels * self.templates + template

    def loss(self, n, generator, min_snr=0.0):
        """Denoising loss of n lesions under prompts of their class, each encoded once: a scalar."""
        latents, prompts = self.sample_batch(n, generator)
        prompts, back = prompts.unique(return_inverse=True)
        unet, ids, back = self.pipeline.unet, send(self.ids[prompts]), send(back)

        def predict(noisy, t):
            return unet(noisy, t, self.pipeline.text_encoder(ids)[0][back]).sample

        return denoising_loss(predict, self.schedule, latents, generator, min_snr)


def token_ids(pipeline, prompts):
    """Prompts as token ids int (n, length), a token of several vectors written out.

    Raises StudyError for a prompt that the text encoder would truncate.
    """
    tokenizer = pipeline.tokenizer
    written = [pipeline.maybe_convert_prompt(prompt, tokenizer) for prompt in prompts]
    longest, limit = max(len(ids) for ids in tokenizer(written).input_ids), tokenizer.model_max_length
    if longest > limit:
        raise StudyError(
            f'A prompt with all its vectors has {longest} tokens, and this base reads {limit}: '
            'lower num_vectors.'
        )
    return tokenizer(written, padding='max_length', max_length=limit, return_tensors='pt').input_ids
