from dataclasses import dataclass

import pytest

from genmix import StudyError
from genmix.run.limits import bounded, check, check_fields


def test_good_values_pass():
    check(image_size=64, dataset='ct', window=[40, 400], medmnist_size=28, margin_mm=0, anything=-1)


@pytest.mark.parametrize(
    'wrong, said',
    [
        ({'image_size': 48}, 'image_size is "48": choose one of 32, 64'),
        ({'dataset': 'x'}, 'phantom, folder, ct, medmnist'),
        ({'train_fraction': 1.1}, 'between 0 and 1'),
        ({'seeds': 0}, 'seeds is 0'),
        ({'seed': -1}, 'negative'),
        ({'real_lesions': 7}, 'at least 8'),
        ({'window': [90.0]}, 'level and width'),
        ({'window': [90.0, 0.0]}, 'level and width'),
        ({'medmnist_size': 32}, '28, 64, 128, 224'),
        ({'fov_times': 0.0}, 'fov_times is 0'),
        ({'fov_times': float('inf')}, 'finite'),
    ],
)
def test_bad_values_are_one_sentence(wrong, said):
    with pytest.raises(StudyError, match=said) as caught:
        check(**wrong)
    assert str(caught.value).count('\n') == 0


@dataclass(frozen=True, kw_only=True)
class Config:
    alpha: float = bounded(above=0)
    share: float = bounded(at_least=0, at_most=1)
    levels: int = bounded(at_least=2, at_most=8)
    kind: str = bounded(choices=('', 'a'))
    name: str

    def __post_init__(self):
        check_fields(self)


@pytest.mark.parametrize(
    'wrong, said',
    [
        ({'alpha': 0}, 'alpha is 0, but it must be greater than 0'),
        ({'alpha': float('nan')}, 'alpha is nan: give a finite number'),
        ({'share': -0.1}, 'a share lies between 0 and 1'),
        ({'levels': 1}, 'must be at least 2'),
        ({'levels': 9}, 'at most 8'),
        ({'kind': 'b'}, 'kind is "b": choose one of \'\', a'),
    ],
)
def test_a_config_owns_its_bounds(wrong, said):
    good = {'alpha': 0.4, 'share': 1.0, 'levels': 8, 'kind': '', 'name': 'x'}
    assert Config(**good).levels == 8
    with pytest.raises(StudyError, match=said):
        Config(**good | wrong)


def test_a_config_has_no_defaults():
    with pytest.raises(TypeError, match='alpha'):
        Config(share=1.0, levels=2, kind='', name='x')
