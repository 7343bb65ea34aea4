"""Prompts of words that a base knows already: zero-shot generation, which a learned token must beat."""

from genmix.generators.latent.learned_tokens import initial_words

# Written by people who have seen the lesions, in words of the vocabulary of the small base.
CAPTIONS = {
    'cyst': 'a sharp large black disc on a gray background',
    'hemangioma': 'a large gray disc with bright dots on a gray background',
    'metastasis': 'a soft medium dark disc on a gray background',
}
MEASURED, WRITTEN = 'measured words', 'written caption'


def known_prompts(cohort, template, n, tokenizer):
    """{kind: [prompt of each class]}: MEASURED, and WRITTEN where every class has a caption.

    MEASURED fills the `{}` of `template` with the n words that describe the lesions of a class most often.
    """
    measured = initial_words(cohort, 'measured', n, tokenizer)
    prompts = {MEASURED: [template.format(' '.join(words)) for words in measured]}
    if set(cohort.class_names) <= set(CAPTIONS):
        prompts[WRITTEN] = [CAPTIONS[name] for name in cohort.class_names]
    return prompts
