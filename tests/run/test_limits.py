import pytest

from genmix import StudyError
from genmix.run.limits import check


def test_good_values_pass():
    check(
        alpha=0.4,
        pairing='same',
        tail=0.0,
        mixed_share=1.0,
        image_size=64,
        dataset='ct',
        weights='',
        window=[40, 400],
        medmnist_size=28,
        margin_mm=0,
        anything=-1,
    )


@pytest.mark.parametrize(
    'wrong, said',
    [
        ({'alpha': 0}, 'alpha is 0'),
        ({'alpha': float('nan')}, 'finite'),
        ({'pairing': 'x'}, 'any, same, balanced'),
        ({'tail': 1.1}, 'between 0 and 1'),
        ({'image_size': 48}, 'image_size is 48.*32, 64'),
        ({'image_size': 16}, 'at least 32'),
        ({'weights': 'coco'}, 'imagenet'),
        ({'seeds': 0}, 'seeds is 0'),
        ({'seed': -1}, 'negative'),
        ({'window': [90.0]}, 'level and width'),
        ({'window': [90.0, 0.0]}, 'level and width'),
        ({'medmnist_size': 32}, '28, 64, 128, 224'),
        ({'fov_times': 0.0}, 'fov_times is 0'),
    ],
)
def test_bad_values_are_one_sentence(wrong, said):
    with pytest.raises(StudyError, match=said) as caught:
        check(**wrong)
    assert str(caught.value).count('\n') == 0
