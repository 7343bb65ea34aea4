"""New words for a frozen text-to-image model: tokens, the rows they stand for, and the loss that these rows learn from.

Textual Inversion (Gal et al. 2023, arXiv 2208.01618): the denoiser, the autoencoder and the text encoder stay as they are; each class gets a token, and the
embedding of that token is what training looks for.
"""

import hashlib
import re
from collections import Counter
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from genmix import StudyError
from genmix.data import images as images_module
from genmix.data.images import symmetries, to_uint8
from genmix.data.sampling import sample_rows
from genmix.generators.latent import backbones
from genmix.generators.latent import loss as loss_module
from genmix.generators.pretrained import captions, networks
from genmix.run.device import DEVICE, autocast

TEMPLATES = ('a picture of a {}', 'a photo of a {}', 'an image of a {}', 'a {}')
FUNCTION_WORDS = {'a', 'an', 'the', 'of', 'in', 'on', 'at', 'with', 'over'}
MARGIN = 0.02  # of a denoising loss, at which the contrast between classes begins to be enough
INITIAL_NOISE = 0.1  # added to the initial rows, in standard deviations of the vocabulary's: vectors that begin with one word need not stay alike


def check_templates(templates):
    """StudyError unless there are templates, and each has one place for the word."""
    for template in templates or ['']:
        if template.count('{}') != 1:
            raise StudyError(
                f'The template "{template}" does not say where the word stands: write {{}} there once, as in "{TEMPLATES[0]}".'
            )


def tokens_for(names, tokenizer):
    """A placeholder token for each class name: `cyst` -> `<cyst>`.  StudyError for a token that the vocabulary has already."""
    slugs = [re.sub(r'\W+', '-', name.lower()).strip('-_') or 'class' for name in names]
    tokens = [f'<{slug}>' if slugs.count(slug) == 1 else f'<{slug}-{i}>' for i, slug in enumerate(slugs)]
    for name, token in zip(names, tokens):
        if token in tokenizer.get_vocab():
            raise StudyError(
                f'The vocabulary of this base has a token {token} already: rename the class "{name}", or choose another base.'
            )
    return tokens


def vectors_of(token, n):
    """Names of the n vectors of a token, as diffusers' load_textual_inversion makes them: `<cyst>`, `<cyst>_1`, ..."""
    return [token, *(f'{token}_{i}' for i in range(1, n))]


def word_id(word, tokenizer):
    """Number of the one token that a word is; None when it is none or several."""
    ids = tokenizer(word, add_special_tokens=False).input_ids
    return ids[0] if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else None


def measured_words(images, n, tokenizer):
    """The n words of the vocabulary that captions.describe says most often of images uint8 (m, H, W), function words left out; fewer where there are fewer."""
    said = Counter(
        word
        for image in images
        for phrase in captions.describe(image).values()
        for word in dict.fromkeys(phrase.split())
    )
    known = [
        word
        for word, _ in said.most_common()
        if word not in FUNCTION_WORDS and word_id(word, tokenizer) is not None
    ]
    return known[:n]


def initial_words(cohort, initialiser, n, tokenizer):
    """Words that the vectors of each class begin with: a list of at most n for each class.  StudyError for a word that is not one token.

    initialiser   words for all classes, or a list of words for each; 'measured': what is measured most often on the training lesions of a class; '': the mean of all words
    """
    names = cohort.class_names
    each = (
        [initialiser] * len(names)
        if isinstance(initialiser, str)
        else list(initialiser) * (len(names) if len(initialiser) == 1 else 1)
    )
    if len(each) != len(names):
        raise StudyError(
            f'The initialiser has words for {len(each)} classes, and there are {len(names)}: give one text for each of {", ".join(names)}, or one for all.'
        )
    for word in ' '.join(text for text in each if text != 'measured').split():
        if word_id(word, tokenizer) is None:
            raise StudyError(
                f'The word "{word}" of the initialiser is not one token of this base\'s vocabulary: choose plain words such as "dark spot", or "measured".'
            )
    return [
        measured_words(cohort.images[cohort.labels == k], n, tokenizer)
        if text == 'measured'
        else text.split()[:n]
        for k, text in enumerate(each)
    ]


def initial_rows(words, n, tokenizer, known, seed):
    """The rows to begin with, float32 (K n, d): each class's words again and again, and a little noise.  known: the vocabulary's rows (N, d)."""
    known = known.detach().float().cpu()
    mean = known.mean(0)
    rows = torch.stack(
        [known[word_id(some[i % len(some)], tokenizer)] if some else mean for some in words for i in range(n)]
    )
    return rows + INITIAL_NOISE * known.std() * torch.randn(
        rows.shape, generator=torch.Generator().manual_seed(seed)
    )


class ExtendedEmbedding(nn.Module):
    """A text encoder's embedding and, after its last row, those of `new`.  Gradients reach `new` alone; the rows of `known` are another tensor."""

    def __init__(self, known, new):
        super().__init__()
        self.known, self.new = known, new

    def forward(self, ids):
        n = self.known.num_embeddings
        return torch.where(
            (ids < n)[..., None], self.known(ids.clamp(max=n - 1)), self.new((ids - n).clamp(min=0))
        )


@contextmanager
def with_learned_tokens(pipeline, new):
    """The pipeline with the rows of the nn.Embedding `new` after its vocabulary, whose tokenizer knows their tokens."""
    encoder = pipeline.text_encoder
    known = encoder.get_input_embeddings()
    encoder.set_input_embeddings(ExtendedEmbedding(getattr(known, 'known', known), new))
    try:
        yield pipeline
    finally:
        encoder.set_input_embeddings(known)


def fingerprint(pipeline):
    """SHA-256 over every weight of autoencoder, denoiser and text encoder, the rows of its vocabulary included."""
    digest = hashlib.sha256()
    for module in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        for name, tensor in module.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def side_of(pipeline):
    """Side in pixels of the images that a pipeline was trained on."""
    return pipeline.unet.config.sample_size * 2 ** (len(pipeline.vae.config.block_out_channels) - 1)


def batch_size_of(pipeline):
    """How many images to encode or paint in one batch."""
    return 64 if side_of(pipeline) <= 128 else 8


class InversionData:
    """What the rows learn from: latents of the training lesions in all symmetries, computed once, and prompts for each class in several templates."""

    def __init__(self, pipeline, cohort, tokens, templates, turns):
        self.pipeline, self.labels, self.classes, self.templates = (
            pipeline,
            cohort.labels,
            len(tokens),
            len(templates),
        )
        views = symmetries(cohort.images) if turns else cohort.images[None]

        def encode(view):
            return networks.encode(
                pipeline.vae,
                images_module.resize_uint8(np.ascontiguousarray(view), side_of(pipeline)),
                batch_size_of(pipeline),
            )

        self.latents = torch.stack([encode(view) for view in views])  # (views, lesions, C, h, w)
        self.ids = token_ids(pipeline, [template.format(token) for token in tokens for template in templates])
        self.schedule = backbones.training_schedule(pipeline.scheduler)

    def draw(self, n, generator):
        """n lessons, classes drawn alike: latents (n, C, h, w) and the number of the prompt for each."""

        def below(m):
            return torch.randint(m, (n,), generator=generator)

        labels, template, view = below(self.classes), below(self.templates), below(len(self.latents))
        rng = np.random.default_rng(torch.randint(2**31, (1,), generator=generator).item())
        return self.latents[
            view, sample_rows(labels.numpy(), self.labels, rng)
        ], labels * self.templates + template

    def loss(self, n, generator, min_snr=0.0, contrast=0.0):
        """Denoising loss of n lessons; each prompt that occurs is encoded once, in one pass of the text encoder.

        contrast   weight of a second term, softplus of how much better the same lessons are denoised under the word of another class, drawn at random: 0 leaves it,
                   and its second pass through the denoiser, out
        """
        latents, said = self.draw(n, generator)
        state = generator.get_state()
        own = self.told(latents, said, generator, min_snr)
        if not contrast or self.classes == 1:
            return own
        other = (said + self.templates * torch.randint(1, self.classes, (n,), generator=generator)) % (
            self.classes * self.templates
        )
        generator.set_state(state)  # the same noise at the same times
        return own + contrast * MARGIN * F.softplus(
            (own - self.told(latents, other, generator, min_snr)) / MARGIN
        )

    def told(self, latents, said, generator, min_snr):
        """Denoising loss of latents under prompts of these numbers."""
        prompts, back = said.unique(return_inverse=True)
        unet, ids, back = self.pipeline.unet, self.ids[prompts].to(DEVICE), back.to(DEVICE)

        def predict(noisy, t):
            return unet(noisy, t, self.pipeline.text_encoder(ids)[0][back]).sample

        return loss_module.denoising_loss(predict, self.schedule, latents, generator, min_snr)


def token_ids(pipeline, prompts):
    """Prompts as token numbers (n, length), a token of several vectors written out.  StudyError for a prompt that the text encoder would cut off."""
    tokenizer = pipeline.tokenizer
    written = [pipeline.maybe_convert_prompt(prompt, tokenizer) for prompt in prompts]
    longest = max(len(ids) for ids in tokenizer(written).input_ids)
    if longest > tokenizer.model_max_length:
        raise StudyError(
            f'A prompt with all its vectors has {longest} tokens, and this base reads {tokenizer.model_max_length}: lower num_vectors.'
        )
    return tokenizer(
        written, padding='max_length', max_length=tokenizer.model_max_length, return_tensors='pt'
    ).input_ids


def load_tokens(pipeline, folders, tokens):
    """Load learned_embeds.safetensors of each folder as its token, by diffusers."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # it would explain how it fills rows that are overwritten at once
    try:
        pipeline.load_textual_inversion(
            [str(folder) for folder in folders], token=list(tokens), local_files_only=True
        )
    finally:
        logging.set_verbosity(level)


def image_to_image(pipeline, prompts, parents, steps, guidance, strength, seed):
    """Image to image: parents uint8 (n, H, W), noised to the share `strength` of the way and denoised under a prompt each: uint8 (n, side, side).

    It takes `strength` of the steps, rounded down, and at least one.
    """
    from diffusers import StableDiffusionImg2ImgPipeline

    strength, again = (
        max(strength, (1 + 1e-6) / steps),
        StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False),
    )
    again.set_progress_bar_config(disable=True)
    x, n, parts, generator = (
        images_module.resize_uint8(parents, side_of(pipeline)),
        batch_size_of(pipeline),
        [],
        torch.Generator().manual_seed(seed),
    )
    for i in range(0, len(x), n):
        with autocast():
            y = again(
                prompts[i : i + n],
                networks.to_rgb_input(x[i : i + n].copy()),
                strength,
                num_inference_steps=steps,
                guidance_scale=guidance,
                output_type='pt',
                generator=generator,
            ).images
        parts.append(to_uint8(y * 2 - 1))
    return np.concatenate(parts)


def nearest_words(rows, pipeline, n=3):
    """The n words of the vocabulary most like each row (m, d): list of lists of (word, cosine).  Only whole words count."""
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    whole = {
        i: word.removesuffix('</w>')
        for word, i in tokenizer.get_vocab().items()
        if word.endswith('</w>')
        and word.removesuffix('</w>').isalpha()
        and len(word) > len('x</w>')
        and word not in tokenizer.added_tokens_encoder
    }
    known = encoder.get_input_embeddings().weight.detach().float().cpu()[list(whole)]
    likeness = F.normalize(torch.as_tensor(rows).float(), dim=-1) @ F.normalize(known, dim=-1).T
    best, where = likeness.topk(n)
    words = list(whole.values())
    return [[(words[i], s) for i, s in zip(at, value)] for at, value in zip(where.tolist(), best.tolist())]
