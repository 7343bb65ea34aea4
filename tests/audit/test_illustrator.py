"""The generator that illustrates the study is the best by its card."""

import pandas as pd
import pytest

from genmix import StudyError
from genmix.audit.illustrator import best_generator


def write(study, **tstr):
    rows = [(g, label, 'tstr', value) for g, value in tstr.items() for label in ('all', 'cyst')]
    rows += [(g, 'all', 'kid', 9.0) for g in tstr]
    path = study.path('audit', 'generator_card.csv')
    pd.DataFrame(rows, columns=['generator', 'label', 'metric', 'value']).to_csv(path, index=False)
    study.sign('audit')


def test_the_highest_tstr_wins_and_the_oracle_only_alone(study):
    with pytest.raises(StudyError, match='06_generator_audit'):
        best_generator(study, ['dcgan'])
    write(study, dcgan=0.5, stylegan=0.7, oracle=0.9)
    assert best_generator(study, ['dcgan', 'stylegan', 'oracle']) == 'stylegan'
    assert best_generator(study, ['dcgan', 'oracle']) == 'dcgan'
    assert best_generator(study, ['oracle']) == 'oracle'
    assert best_generator(study, ['textual_inversion', 'diffusion']) == 'textual_inversion'  # not on the card


def test_an_audit_that_ended_early_leaves_the_first(study):
    study.path('audit', 'provenance.json').write_text('{"stage": "audit", "skipped": "too few lesions"}')
    assert best_generator(study, ['oracle', 'stylegan', 'dcgan']) == 'stylegan'
