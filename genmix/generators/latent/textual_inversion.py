"""Textual Inversion: a pretrained text-to-image model that nobody fine-tunes learns one new word a class.

A few hundred numbers are learned; the model itself stays bit by bit what it was.  The words are saved as diffusers saves them, so that any pipeline of the same base can load them.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from genmix import StudyError
from genmix.data import images as images_module
from genmix.generators import register
from genmix.generators.latent import backbones, diffusion, learned_tokens, loss, noise_texture, training_loop
from genmix.generators.pretrained import networks, shipped
from genmix.run.device import seed_all
from genmix.run.limits import check

FILE = 'learned_embeds.safetensors'  # the name that load_textual_inversion looks for in a folder
MEASURED = 16  # samples of each class on which missing grain is measured


@register
class TextualInversion:
    """A frozen pipeline and its new words.  `fit` looks for their rows, `sample` paints with them."""

    name, notebook = 'textual_inversion', '04_textual_inversion'
    stands_on = staticmethod(diffusion.Diffusion.stands_on)

    def __init__(self, pipeline, config, grain=None, lesions=None):
        self.pipeline, self.config, self.grain, self.lesions = pipeline, config, grain, lesions

    @classmethod
    def fit(
        cls,
        cohort,
        out_dir,
        base='natural',
        revision=None,
        num_vectors=6,
        initialiser='measured',
        templates=learned_tokens.TEMPLATES,
        steps=260,
        batch_size=20,
        lr=0.03,
        min_snr=0.0,
        contrast=3.0,
        ema=0.99,
        guidance=3.0,
        sampling_steps=10,
        strength=0.0,
        grain=True,
        turns=True,
        checkpointing=False,
        film=8,
        moments=7,
        seed=0,
        checkpoint_every=200,
    ):
        """Learn `num_vectors` rows for each class of `cohort`, classes drawn alike; writes words/<class>/learned_embeds.safetensors, config.json,
        lesions.safetensors, grain.safetensors, train_log.csv and film.npy.

        base, revision   `natural`, `mixed`, or a repository or folder with a StableDiffusionPipeline and its revision
        initialiser      'measured', '', words for all classes, or a list with words for each (see inversion.initial_words)
        templates        sentences around the word, `{}` where it stands; the first one is used for sampling
        contrast         weight of a term that sets the words of the classes apart (inversion.Lessons.loss); 0 is Textual Inversion as published
        strength         0: samples come from noise; else from training lesions of the class, noised to this share of the way
                         (image to image, as in DA-Fusion, Trabucco et al. 2023, arXiv 2302.07944)
        guidance, sampling_steps, grain     how `sample` paints
        turns            train on all eight symmetries of each lesion
        checkpointing    recompute activations to save memory
        film, moments    film.npy uint8 (moments, K, film, H, W): the same noise at the steps in config.json

        Raises StudyError for values that cannot be, a base that cannot be had, a word or a token that the vocabulary refuses, and RuntimeError should a weight
        of the base have changed.
        """
        check(**{k: v for k, v in locals().items() if k not in ('cls', 'cohort', 'out_dir')})
        learned_tokens.check_templates(templates)
        out_dir = Path(out_dir)
        seed_all(seed)
        pipeline, tokens, words, rows = prepare(base, revision, cohort, num_vectors, initialiser, seed)
        frozen = learned_tokens.fingerprint(pipeline)
        model = cls(
            pipeline,
            {
                'base': base,
                'revision': revision,
                'classes': cohort.class_names,
                'tokens': tokens,
                'words': words,
                'prompt': templates[0],
                'side': cohort.images.shape[1],
                'guidance': guidance,
                'sampling_steps': sampling_steps,
                'strength': strength,
                'turns': turns,
                'frozen': frozen,
                'moments': diffusion.snapshot_steps(steps, moments),
            },
            lesions={'images': cohort.images, 'labels': cohort.labels},
        )
        if checkpointing:
            pipeline.unet.enable_gradient_checkpointing()
        frames = TokenSnapshots(out_dir, film)
        lessons = learned_tokens.InversionData(pipeline, cohort, tokens, templates, turns)
        run = training_loop.TrainingLoop(
            out_dir / 'training',
            {'words': torch.nn.Embedding.from_pretrained(rows, freeze=False)},
            steps,
            lr,
            seed,
            key='',
            keep=ema,
            every=checkpoint_every,
        )

        def at(nets, step):
            return frames.keep(model, nets['words'], step)

        if not run.step:
            at(run.averages, 0)
        with learned_tokens.with_learned_tokens(pipeline, run.networks['words']):
            averages = run.run(
                lambda generator: lessons.loss(batch_size, generator, min_snr, contrast),
                'textual inversion',
                at,
                model.config['moments'],
            )
        if learned_tokens.fingerprint(pipeline) != frozen:
            raise RuntimeError('A weight of the frozen base has changed: these are not learned words alone.')
        model.write(out_dir, averages['words'].weight)
        np.save(out_dir / 'film.npy', frames.gathered(model.config['moments']))
        model = cls.load(out_dir)
        if grain:
            made = np.stack([model.painted(k, MEASURED, k) for k in range(len(tokens))])
            model.grain = noise_texture.NPSCorrection.measured(cohort.images, cohort.labels, made)
            model.grain.save(out_dir / 'grain.safetensors')
        (out_dir / 'training' / 'log.csv').rename(out_dir / 'train_log.csv')
        shutil.rmtree(out_dir / 'training')
        frames.clear()
        return model

    def write(self, out_dir, rows):
        """What `load` reads, but for the grain."""
        for token, vectors in zip(
            self.config['tokens'], rows.detach().float().cpu().chunk(len(self.config['tokens']))
        ):
            folder = out_dir / 'words' / token.strip('<>')
            folder.mkdir(parents=True, exist_ok=True)
            save_file({token: vectors.numpy().copy()}, folder / FILE)
        save_file(self.lesions, out_dir / 'lesions.safetensors')
        (out_dir / 'config.json').write_text(json.dumps(self.config))

    @classmethod
    def load(cls, folder):
        """A fresh pipeline of the base, the words loaded by diffusers itself."""
        folder = Path(folder)
        config = json.loads((folder / 'config.json').read_text())
        pipeline, tokens = open_pipeline(config['base'], config['revision']), config['tokens']
        learned_tokens.load_tokens(
            pipeline, [folder / 'words' / token.strip('<>') for token in tokens], tokens
        )
        grain = folder / 'grain.safetensors'
        return cls(
            pipeline,
            config,
            noise_texture.NPSCorrection.load(grain) if grain.exists() else None,
            load_file(folder / 'lesions.safetensors'),
        )

    @property
    def rows(self):
        """The learned rows: float32 (K, vectors, d)."""
        rows = self.pipeline.text_encoder.get_input_embeddings().weight.detach().float().cpu()
        known = self.pipeline.tokenizer.added_tokens_encoder
        own = [
            sorted(i for name, i in known.items() if name == token or name.startswith(f'{token}_'))
            for token in self.config['tokens']
        ]
        return rows[torch.tensor(own)]

    def sample(self, label, n, seed, grain=True, **changes):
        """uint8 (n, H, W).  `changes`: guidance, steps, strength or prompt (with `{}` for the word) other than those it was trained to be sampled with."""
        images = self.painted(label, n, seed, **changes)
        return self.grain(images, label, seed) if grain and self.grain else images

    def painted(self, label, n, seed, guidance=None, steps=None, strength=None, prompt=None):
        """Samples without grain: uint8 (n, H, W)."""

        def given(value, name):
            return self.config[name] if value is None else value

        guidance, steps, strength = (
            given(guidance, 'guidance'),
            given(steps, 'sampling_steps'),
            given(strength, 'strength'),
        )
        prompts, batch = (
            [given(prompt, 'prompt').format(self.config['tokens'][label])] * n,
            learned_tokens.batch_size_of(self.pipeline),
        )
        if strength:
            images = learned_tokens.image_to_image(
                self.pipeline, prompts, self.parents(label, n, seed), steps, guidance, strength, seed
            )
        else:
            images = networks.sample_images(self.pipeline, prompts, steps, guidance, seed, batch)
        return images_module.resize_uint8(images, self.config['side'])

    def parents(self, label, n, seed):
        """The training lesions uint8 (n, H, W) that samples of this seed begin from, each turned at random where training turned them."""
        rng, own = np.random.default_rng([seed, label]), np.flatnonzero(self.lesions['labels'] == label)
        images = self.lesions['images'][rng.choice(own, n)]
        return (
            np.stack(
                [
                    np.rot90(x[:, :: 1 - 2 * int(flip)], turn)
                    for x, flip, turn in zip(images, rng.integers(2, size=n), rng.integers(4, size=n))
                ]
            )
            if self.config['turns']
            else images
        )


def open_pipeline(base, revision):
    """The pipeline of a base, frozen, with DPM-Solver++.  StudyError where it cannot be had, or does not read."""
    pipeline = shipped.load(base) if base in shipped.VARIANTS else backbones.from_hub(base, revision)
    if type(pipeline).__name__ != 'StableDiffusionPipeline':
        raise StudyError(
            f'"{base}" is a {type(pipeline).__name__}, which reads no prompts of one text encoder: choose a StableDiffusionPipeline, or one of {", ".join(shipped.VARIANTS)}.'
        )
    pipeline.scheduler = loss.sampler(backbones.training_schedule(pipeline.scheduler))
    for module in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        module.eval().requires_grad_(False)
    return networks.to_device(pipeline)


def prepare(base, revision, cohort, num_vectors, initialiser, seed):
    """A frozen pipeline whose tokenizer knows a new token for each class, those tokens, the words they begin as, and the rows to begin with (K num_vectors, d)."""
    pipeline = open_pipeline(base, revision)
    tokens = learned_tokens.tokens_for(cohort.class_names, pipeline.tokenizer)
    words = learned_tokens.initial_words(cohort, initialiser, num_vectors, pipeline.tokenizer)
    rows = learned_tokens.initial_rows(
        words, num_vectors, pipeline.tokenizer, pipeline.text_encoder.get_input_embeddings().weight, seed
    )
    pipeline.tokenizer.add_tokens(
        [vector for token in tokens for vector in learned_tokens.vectors_of(token, num_vectors)]
    )
    return pipeline, tokens, words, rows


class TokenSnapshots(diffusion.Snapshots):
    """Samples of every class from the same noise, kept moment by moment."""

    def keep(self, model, new, step):
        with learned_tokens.with_learned_tokens(model.pipeline, new):
            frame = np.stack(
                [model.painted(k, self.n, 0, strength=0.0) for k in range(len(model.config['tokens']))]
            )
        self.put(frame, step)
