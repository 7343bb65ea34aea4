"""New tokens for a frozen text-to-image model: their names, and the embedding vectors that they stand for.

Textual Inversion (Gal et al. 2023, arXiv 2208.01618): the denoiser, the autoencoder and the text encoder stay
as they are; each class gets a token, and the embedding of that token is what is learned.
"""

import re
from collections import Counter
from contextlib import contextmanager

import torch
import torch.nn as nn
import torch.nn.functional as F

from genmix import StudyError
from genmix.generators.pretrained import captions

FUNCTION_WORDS = {'a', 'an', 'the', 'of', 'in', 'on', 'at', 'with', 'over'}
INITIAL_NOISE = (
    0.1  # added to initial vectors, in sd of the vocabulary's: vectors that start at one word must differ
)


def tokens_for(names, tokenizer):
    """A placeholder token for each class name: `cyst` -> `<cyst>`.

    Raises StudyError for a token that the vocabulary has already.
    """
    slugs = [re.sub(r'\W+', '-', name.lower()).strip('-_') or 'class' for name in names]
    tokens = [f'<{slug}>' if slugs.count(slug) == 1 else f'<{slug}-{i}>' for i, slug in enumerate(slugs)]
    for name, token in zip(names, tokens):
        if token in tokenizer.get_vocab():
            raise StudyError(
                f'The vocabulary of this base has a token {token} already: rename the class "{name}", or '
                'choose another base.'
            )
    return tokens


def vector_names(token, n):
    """Names of the n vectors of a token, as diffusers makes them: `<cyst>`, `<cyst>_1`, ..."""
    return [token, *(f'{token}_{i}' for i in range(1, n))]


def word_id(word, tokenizer):
    """Id of the one token that a word is; None when it is none or several."""
    ids = tokenizer(word, add_special_tokens=False).input_ids
    return ids[0] if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else None


def measured_words(images, n, tokenizer):
    """The n words of the vocabulary that captions.describe uses most often of images uint8 (m, H, W).

    Function words are left out; there may be fewer.
    """
    counts = Counter()
    for image in images:
        for phrase in captions.describe(image).values():
            counts.update(list(dict.fromkeys(phrase.split())))
    words = [word for word, _ in counts.most_common() if word not in FUNCTION_WORDS]
    return [word for word in words if word_id(word, tokenizer) is not None][:n]


def initial_words(cohort, initialiser, n, tokenizer):
    """Words that the vectors of each class start from: a list of at most n for each class.

    initialiser   words for all classes, or a list of words for each; 'measured': those of `measured_words` of
                  the training lesions of a class; '': the mean of all words

    Raises StudyError for a word that is not one token, and for a list of another length.
    """
    names = cohort.class_names
    texts = [initialiser] if isinstance(initialiser, str) else list(initialiser)
    texts = texts * len(names) if len(texts) == 1 else texts
    if len(texts) != len(names):
        raise StudyError(
            f'The initialiser has words for {len(texts)} classes, and there are {len(names)}: give one text '
            f'for each of {", ".join(names)}, or one for all.'
        )
    for word in ' '.join(text for text in texts if text != 'measured').split():
        if word_id(word, tokenizer) is None:
            raise StudyError(
                f'The word "{word}" of the initialiser is not one token of this base\'s vocabulary: choose '
                'plain words such as "dark spot", or "measured".'
            )
    groups = [cohort.images[cohort.labels == k] for k in range(len(names))]
    return [
        measured_words(images, n, tokenizer) if text == 'measured' else text.split()[:n]
        for text, images in zip(texts, groups)
    ]


def initial_vectors(words, n, tokenizer, known, seed):
    """Initial embedding vectors, float32 (K n, d): each class's words in rotation, and a little noise.

    known   vectors of the vocabulary (N, d)
    """
    known = known.detach().float().cpu()
    mean = known.mean(0)
    vectors = torch.stack(
        [known[word_id(some[i % len(some)], tokenizer)] if some else mean for some in words for i in range(n)]
    )
    noise = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(seed))
    return vectors + INITIAL_NOISE * known.std() * noise


class ExtendedEmbedding(nn.Module):
    """The embedding `known` of a text encoder, extended by `new`; gradients reach `new` alone."""

    def __init__(self, known, new):
        super().__init__()
        self.known, self.new = known, new

    def forward(self, ids):
        n = self.known.num_embeddings
        known, new = self.known(ids.clamp(max=n - 1)), self.new((ids - n).clamp(min=0))
        return torch.where((ids < n)[..., None], known, new)


@contextmanager
def with_learned_tokens(pipeline, new):
    """The pipeline with the nn.Embedding `new` after its vocabulary; its tokenizer has the tokens already.

    `new` is moved to the device of the vocabulary, and stays there.
    """
    encoder = pipeline.text_encoder
    known = encoder.get_input_embeddings()
    vocabulary = getattr(known, 'known', known)
    encoder.set_input_embeddings(ExtendedEmbedding(vocabulary, new.to(vocabulary.weight.device)))
    try:
        yield pipeline
    finally:
        encoder.set_input_embeddings(known)


def load_tokens(pipeline, folders, tokens):
    """Load learned_embeds.safetensors of each folder as its token, through diffusers."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # it would explain how it fills rows that are overwritten at once
    try:
        pipeline.load_textual_inversion(list(map(str, folders)), token=list(tokens), local_files_only=True)
    finally:
        logging.set_verbosity(level)


def nearest_words(vectors, pipeline, n=3):
    """The n words most like each vector (m, d): list of lists of (word, cosine).  Only whole words count."""
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    whole = {
        i: word.removesuffix('</w>')
        for word, i in tokenizer.get_vocab().items()
        if word.endswith('</w>') and len(word) > len('x</w>') and word not in tokenizer.added_tokens_encoder
    }
    whole = {i: word for i, word in whole.items() if word.isalpha()}
    known = encoder.get_input_embeddings().weight.detach().float().cpu()[list(whole)]
    cosines = F.normalize(torch.as_tensor(vectors).float(), dim=-1) @ F.normalize(known, dim=-1).T
    best, where = cosines.topk(n)
    words = list(whole.values())
    return [[(words[i], s) for i, s in zip(*row)] for row in zip(where.tolist(), best.tolist())]
