import numpy as np
import torch
from conftest import blobs

from genmix.audit import judge


def test_it_learns_what_is_easy_and_repeats_itself():
    model = judge.train_reference(blobs(), 60)
    test = blobs(seed=1)
    assert (model.label(test.images) == test.labels).mean() > 0.9
    assert np.array_equal(model.label(test.images), judge.train_reference(blobs(), 60).label(test.images))


def test_it_is_another_architecture_than_the_classifier_of_the_study():
    from torchvision.models.vgg import VGG

    model = judge.ReferenceClassifier(3)
    kinds = {type(m).__name__ for m in model.modules()}
    assert 'BasicBlock' in kinds and not any(isinstance(m, VGG) for m in model.modules())
    assert model(torch.zeros(2, 1, 64, 64)).shape == (2, 3)


def test_cached_and_loaded_it_predicts_the_same(study, cohort):
    first = judge.reference_classifier(study, cohort, 8)
    made = study.path('audit/reference/model.safetensors').stat().st_mtime_ns
    again = judge.reference_classifier(study, cohort, 8)
    assert study.path('audit/reference/model.safetensors').stat().st_mtime_ns == made
    x = torch.from_numpy(cohort.images[:, None])
    with torch.inference_mode():
        assert torch.equal(first(x), again(x))


def test_a_set_with_swapped_labels_trains_the_wrong_classes(study):
    real, right = blobs(seed=1), blobs()
    wrong = right[np.arange(len(right))]
    object.__setattr__(wrong, 'labels', (right.labels + 1) % 3)
    assert (judge.tstr_labels(study, 'right', right, real, 60) == real.labels).mean() > 0.9
    assert (judge.tstr_labels(study, 'wrong', wrong, real, 60) == (real.labels + 1) % 3).mean() > 0.9
