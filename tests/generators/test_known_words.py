from dataclasses import replace

import numpy as np
import pytest

from genmix.data.phantom import plan
from genmix.generators.latent.known_words import CAPTIONS, MEASURED, WRITTEN, known_prompts
from genmix.generators.latent.learned_tokens import word_id
from genmix.generators.pretrained import captions


@pytest.fixture(scope='module')
def tokenizer():
    return captions.make_tokenizer()


def test_captions_are_words_of_the_base_and_name_every_class_of_the_phantoms(tokenizer):
    assert set(CAPTIONS) == set(plan.CLASS_NAMES)
    words = {word for caption in CAPTIONS.values() for word in caption.split()}
    assert [word for word in words if word_id(word, tokenizer) is None] == []
    assert word_id('cyst', tokenizer) is None  # what they are for: the base does not know the classes


def test_a_prompt_of_each_kind_per_class(cohort, tokenizer):
    bright = replace(cohort, images=np.where(cohort.labels[:, None, None] == 1, 250, 20).astype(np.uint8))
    prompts = known_prompts(bright, 'a picture of a {}', 2, tokenizer)
    assert prompts.keys() == {MEASURED}  # its classes have no caption
    dark, white, also_dark = prompts[MEASURED]
    assert dark == also_dark and 'black' in dark and 'white' in white
    assert all(p.startswith('a picture of a ') and 5 <= len(p.split()) <= 6 for p in prompts[MEASURED])
    lesions = replace(bright, class_names=('metastasis', 'cyst', 'hemangioma'))
    written = known_prompts(lesions, '{}', 2, tokenizer)[WRITTEN]
    assert written == [CAPTIONS[name] for name in lesions.class_names]
