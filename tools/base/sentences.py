"""Captions for training the base, in the words of genmix.generators.pretrained.captions.

How many attributes a caption keeps differs from caption to caption, from none to all: prompts are short, and
so are those with a learned token.
"""

import re

PREFIXES = ('a photo of', 'a picture of', 'an image of', '')


def some_of(attributes, rng):
    """Those attributes that are not empty, each kept with one random probability."""
    share = rng.random()
    return {k: v for k, v in attributes.items() if v and rng.random() < share}


def of_photograph(subject, attributes, rng):
    """One caption of a photograph: its subject and a random part of what captions.describe measured."""
    attributes = some_of(attributes, rng)
    subject = str(rng.choice(subject.split('|'))) if rng.random() < 0.85 else 'a picture'
    article, noun = ('a', subject[2:]) if subject.startswith('a ') else ('', subject)
    before = [attributes.get(k) for k in ('tone', 'sharpness', 'texture')]
    after = [attributes.get(k) and f'with {attributes[k]}' for k in ('spot', 'stripes', 'contrast')]
    return sentence([article, *before, noun, *after, attributes.get('shading')], rng)


def of_composite(words, attributes, rng):
    """One caption of clip art on a ground.

    words        what composites.compose says of it      attributes    what captions.describe measured
    """
    kept = some_of(words, rng)
    nouns = words['noun']
    noun = nouns[0] if rng.random() < 0.7 else str(rng.choice(nouns))
    before = [kept.get('edge'), kept.get('size'), kept.get('tone')]
    seen = attributes.get('texture') if rng.random() < 0.3 else None
    return sentence(['a', *before, seen, noun, kept.get('place'), kept.get('ground'), kept.get('grain')], rng)


def of_scene(attributes, rng):
    """One caption of a scene: its shape and a random part of the attributes that scenes.draw made it from."""
    kept = some_of(attributes, rng)
    words = [kept.get(k) for k in ('strength', 'edge', 'size', 'tone', 'texture')]
    words = [attributes.get('count', 'a'), *words, attributes['shape'], kept.get('place'), kept.get('detail')]
    ground = [kept.get('ground_texture'), kept.get('ground_tone')]
    words += ['on a', *ground, 'background'] if any(ground) else []
    return sentence([*words, kept.get('clutter'), kept.get('grain')], rng)


def sentence(words, rng):
    """Words after a random prefix, empty ones left out, 'an' before a vowel."""
    text = ' '.join(w for w in [str(rng.choice(PREFIXES)), *words] if w)
    return re.sub(r'\ba (?=[aeiou])', 'an ', text)
