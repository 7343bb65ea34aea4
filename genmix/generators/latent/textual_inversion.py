"""Textual Inversion: a frozen text-to-image model learns one new token per class.

A few hundred numbers are learned; the model itself stays bit by bit what it was.  Tokens are saved as
diffusers saves them, so that any pipeline of the same base can load them.  With `per_layer` a token has other
vectors in each cross-attention layer of the U-Net (see layer_tokens).
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from genmix.data.images import resize_uint8
from genmix.generators import register
from genmix.generators.latent import layer_tokens, learned_tokens
from genmix.generators.latent.config import TextualInversionConfig
from genmix.generators.latent.frozen_pipeline import batch_size_of, fingerprint, image_to_image, open_pipeline
from genmix.generators.latent.noise_texture import NPSCorrection
from genmix.generators.latent.snapshots import Snapshots, go_on_from_finished, snapshot_steps
from genmix.generators.latent.token_loss import InversionData
from genmix.generators.latent.training_loop import TrainingLoop
from genmix.generators.pretrained.networks import sample_images
from genmix.run.device import seed_all

EMBEDDINGS = 'learned_embeds.safetensors'  # the name that load_textual_inversion looks for in a folder
NPS_SAMPLES = 16  # samples per class on which the missing noise power is measured
CHECKPOINT_EVERY = 200  # training steps


@register
class TextualInversion:
    """A frozen pipeline and its learned tokens; `nps` is its NPSCorrection, or None."""

    name, notebook, Config = 'textual_inversion', '04_textual_inversion', TextualInversionConfig

    def __init__(self, pipeline, config, nps=None, lesions=None):
        self.pipeline, self.config, self.nps, self.lesions = pipeline, config, nps, lesions

    @classmethod
    def fit(cls, cohort, out_dir, config):
        """Learn a token per class of `cohort` as a TextualInversionConfig says; classes drawn equally often.

        Writes to `out_dir`: words/<class>/learned_embeds.safetensors (with per_layer also words/<class>@1/
        and so on, one for each layer), config.json, lesions.safetensors, nps.safetensors (with
        nps_correction), train_log.csv, and snapshots.npy uint8 (steps, K, n, H, W), samples of the same noise
        at the `snapshot_steps` of config.json.  A training begun again in the same folder resumes from its
        last checkpoint there.  checkpoint.safetensors stays: a training of more steps goes on from it.

        Raises StudyError for a base that cannot be loaded and for a word or token that the vocabulary
        refuses; RuntimeError should a weight of the base have changed.
        """
        out_dir = Path(out_dir)
        go_on_from_finished(out_dir, config)
        seed_all(config.seed)
        pipeline, tokens, words, vectors = prepare(config, cohort)
        about = model_config(config, cohort) | {'tokens': tokens, 'words': words}
        about['frozen'] = fingerprint(pipeline)
        model = cls(pipeline, about, lesions={'images': cohort.images, 'labels': cohort.labels})
        if config.checkpointing:
            pipeline.unet.enable_gradient_checkpointing()
        nets = {'words': torch.nn.Embedding.from_pretrained(vectors, freeze=False)}
        loop = TrainingLoop(out_dir / 'training', nets, config, CHECKPOINT_EVERY)
        snapshots = Snapshots(out_dir)
        about['snapshot_steps'] = snapshots.planned(about['snapshot_steps'], loop.before)
        learned = train_tokens(model, loop, cohort, config, snapshots)
        if fingerprint(pipeline) != about['frozen']:
            raise RuntimeError('A weight of the frozen base has changed: these are not learned tokens alone.')
        model.save(out_dir, learned)
        snapshots.gather(about['snapshot_steps'])
        del model, pipeline  # of a hub model, gigabytes: before another one is opened
        model = cls.load(out_dir)
        if config.nps_correction:
            samples = np.stack([model.sample_uncorrected(k, NPS_SAMPLES, k) for k in range(len(tokens))])
            model.nps = NPSCorrection.measured(cohort.images, cohort.labels, samples)
            model.nps.save(out_dir / 'nps.safetensors')
        loop.finish(out_dir / 'train_log.csv', keep=True)
        snapshots.clear()
        return model

    def save(self, out_dir, vectors):
        """Write what `load` reads, except the NPS correction; vectors (layers K n, d) of all tokens."""
        for name, own in zip(self.names, vectors.detach().float().cpu().chunk(len(self.names))):
            folder = token_folder(out_dir, name)
            folder.mkdir(parents=True, exist_ok=True)
            save_file({name: own.numpy().copy()}, folder / EMBEDDINGS)
        save_file(self.lesions, out_dir / 'lesions.safetensors')
        (out_dir / 'config.json').write_text(json.dumps(self.config))

    @classmethod
    def load(cls, folder):
        """The generator that `fit` left in `folder`: a fresh pipeline, tokens loaded by diffusers."""
        folder = Path(folder)
        about = json.loads((folder / 'config.json').read_text())
        pipeline, tokens = open_pipeline(about['base'], about['revision']), about['tokens']
        names = layer_tokens.names_in_layers(pipeline.unet, tokens, about['per_layer'])
        learned_tokens.load_tokens(pipeline, [token_folder(folder, name) for name in names], names)
        if about['per_layer']:
            layer_tokens.read_by_layer(pipeline, tokens)
        nps = NPSCorrection.load(folder / 'nps.safetensors')
        return cls(pipeline, about, nps, load_file(folder / 'lesions.safetensors'))

    @property
    def names(self):
        """Names of all tokens in the vocabulary: K, or with per_layer (layers K), layer by layer."""
        return layer_tokens.names_in_layers(
            self.pipeline.unet, self.config['tokens'], self.config['per_layer']
        )

    @property
    def vectors(self):
        """The learned embedding vectors: float32 (K, num_vectors, d).

        With per_layer (K, layers num_vectors, d), those of the first layer first.
        """
        table = self.pipeline.text_encoder.get_input_embeddings().weight.detach().float().cpu()
        ids = self.pipeline.tokenizer.added_tokens_encoder
        own = [
            sorted(i for name, i in ids.items() if name == token or name.startswith(f'{token}_'))
            for token in self.names
        ]
        by_layer = table[torch.tensor(own)].unflatten(0, (-1, len(self.config['tokens'])))
        return by_layer.transpose(0, 1).flatten(1, 2)

    def sample(self, label, n, seed, nps_correction=True, **changes):
        """`n` images of class number `label`: uint8 (n, H, W); the same seed gives the same images.

        changes   guidance, steps, strength or prompt (with `{}` for the token) other than those of the config
        """
        images = self.sample_uncorrected(label, n, seed, **changes)
        return self.nps(images, label, seed) if nps_correction and self.nps else images

    def sample_uncorrected(self, label, n, seed, guidance=None, steps=None, strength=None, prompt=None):
        """`sample` without the NPS correction: uint8 (n, H, W)."""
        asked = {'guidance': guidance, 'sampling_steps': steps, 'strength': strength, 'prompt': prompt}
        guidance, steps, strength, prompt = (
            self.config[name] if value is None else value for name, value in asked.items()
        )
        prompts = [prompt.format(self.config['tokens'][label])] * n
        if strength:
            parents = self.parents(label, n, seed)
            images = image_to_image(self.pipeline, prompts, parents, steps, guidance, strength, seed)
        else:
            batch = batch_size_of(self.pipeline)
            images = sample_images(self.pipeline, prompts, steps, guidance, seed, batch)
        return resize_uint8(images, self.config['side'])

    def sample_grid(self, n):
        """uint8 (K, n, H, W): for each class the images of the same noise, uncorrected."""
        classes = range(len(self.config['tokens']))
        return np.stack([self.sample_uncorrected(k, n, 0, strength=0.0) for k in classes])

    def parents(self, label, n, seed):
        """The training lesions uint8 (n, H, W) that samples of this seed start from at a strength above 0.

        Each one is flipped and rotated at random where training did so.
        """
        rng, own = np.random.default_rng([seed, label]), np.flatnonzero(self.lesions['labels'] == label)
        images = self.lesions['images'][rng.choice(own, n)]
        if not self.config['d4_augmentation']:
            return images
        flips, quarters = rng.integers(2, size=n), rng.integers(4, size=n)
        flipped = [x[:, :: 1 - 2 * int(flip)] for x, flip in zip(images, flips)]
        return np.stack([np.rot90(x, k) for x, k in zip(flipped, quarters)])


def model_config(config, cohort):
    """What config.json says of base and sampling."""
    names = ('base', 'revision', 'per_layer', 'guidance', 'sampling_steps', 'strength', 'd4_augmentation')
    return {name: getattr(config, name) for name in names} | {
        'prompt': config.templates[0],
        'classes': cohort.class_names,
        'side': cohort.images.shape[1],
        'snapshot_steps': snapshot_steps(config.steps, config.snapshots),
    }


def token_folder(out_dir, token):
    return out_dir / 'words' / token.strip('<>')


def prepare(config, cohort):
    """(pipeline, tokens, words, vectors): a frozen pipeline whose tokenizer knows a new token for each class.

    words     what the vectors of each class start from      vectors   the initial ones, float32 (K
              num_vectors, d); with per_layer (layers K num_vectors, d), the same in each layer
    """
    pipeline, n = open_pipeline(config.base, config.revision), config.num_vectors
    tokenizer, known = pipeline.tokenizer, pipeline.text_encoder.get_input_embeddings().weight
    tokens = learned_tokens.tokens_for(cohort.class_names, tokenizer)
    words = learned_tokens.initial_words(cohort, config.initialiser, n, tokenizer)
    vectors = learned_tokens.initial_vectors(words, n, tokenizer, known, config.seed)
    names = layer_tokens.names_in_layers(pipeline.unet, tokens, config.per_layer)
    tokenizer.add_tokens([vector for name in names for vector in learned_tokens.vector_names(name, n)])
    if config.per_layer:
        layer_tokens.read_by_layer(pipeline, tokens)
    return pipeline, tokens, words, vectors.repeat(len(names) // len(tokens), 1)


def train_tokens(model, loop, cohort, config, snapshots):
    """Train the embedding `words` of the loop on `cohort`; returns its EMA vectors, as many."""
    pipeline, about = model.pipeline, model.config
    data = InversionData(pipeline, cohort, about['tokens'], config.templates, config.d4_augmentation)

    def loss_of(generator):
        return data.loss(config.batch_size, generator, config.min_snr)

    def snapshot(networks, step):
        with learned_tokens.with_learned_tokens(pipeline, networks['words']):
            snapshots.add(model.sample_grid(config.snapshot_samples), step)

    with learned_tokens.with_learned_tokens(pipeline, loop.networks['words']):
        averages = loop.run(loss_of, 'textual inversion', snapshot, about['snapshot_steps'])
    return averages['words'].weight
