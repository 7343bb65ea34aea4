from urllib.error import URLError

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from sklearn.datasets import load_sample_image
from torchvision.models import Inception_V3_Weights, inception_v3

from genmix import StudyError
from genmix.audit import features
from genmix.audit.features import (
    cached_features,
    efficientnet_lite0,
    load_features,
    rekeyed,
    verified,
    weights_file,
)
from genmix.data.phantom import plan


@pytest.fixture(scope='module')
def lesions():
    return plan.draw('dev', (14, 12, 14), seed=3)


@pytest.fixture(scope='module')
def plain():
    """The network as timm has it, with its last layer."""
    net = timm.create_model('tf_efficientnet_lite0', pretrained=False)
    net.load_state_dict(rekeyed(torch.load(weights_file(), weights_only=True), net.state_dict()), strict=True)
    return net.eval()


DAISY, PALACE = 985, 698  # classes of ImageNet


@pytest.mark.parametrize('photograph, expected', [('flower.jpg', DAISY), ('china.jpg', PALACE)])
def test_every_tensor_is_in_its_place(plain, photograph, expected):
    x = torch.tensor(load_sample_image(photograph)).permute(2, 0, 1)[None, :, :, 107:534].float() / 255
    x = F.interpolate(x, size=(224, 224), mode='bilinear', antialias=True)
    with torch.inference_mode():
        assert plain((x - 0.5) / 0.5).argmax() == expected


def test_folded_network_is_the_network(plain):
    x = torch.randn(4, 3, 96, 96)
    with torch.inference_mode():
        expected = plain.forward_head(plain.forward_features(x), pre_logits=True)
        assert torch.allclose(efficientnet_lite0()(x), expected, atol=1e-3, rtol=1e-3)


def test_features_are_deterministic_and_per_image(lesions):
    extract = load_features()
    first = extract(lesions.images)
    assert first.shape == (40, 1280) and first.dtype == np.float32
    assert np.array_equal(first, extract(lesions.images))
    assert np.array_equal(first, load_features()(lesions.images))
    assert np.allclose(first[:7], extract(lesions.images[:7], batch_size=3), atol=0.1)


def test_bfloat16_agrees_with_float32(lesions):
    exact, rough = (load_features(bf16=kind)(lesions.images) for kind in (False, True))
    cosine = (exact * rough).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosine.min() >= 0.99


def test_altered_weights_are_refused(tmp_path):
    (tmp_path / 'x.pth').write_bytes(b'other')
    with pytest.raises(StudyError, match='sha256 differs'):
        verified(tmp_path / 'x.pth', features.SHA256)


def test_tensors_that_do_not_fit_are_refused(plain):
    weights = dict(plain.state_dict())
    weights.pop('classifier.bias')
    with pytest.raises(StudyError, match='do not fit'):
        rekeyed(weights, plain.state_dict())


def test_unknown_network_is_one_sentence():
    with pytest.raises(StudyError, match='set features to efficientnet_lite0 or inception'):
        load_features('vgg')


def test_inception_without_a_network_names_the_parameter(monkeypatch):
    def closed(*_, **__):
        raise URLError('closed')

    monkeypatch.setattr(Inception_V3_Weights, 'get_state_dict', closed)
    with pytest.raises(StudyError, match='features=inception.*closed'):
        load_features('inception')


def test_inception_loads_strictly(monkeypatch, lesions):
    weights = inception_v3(weights=None, init_weights=False).state_dict()
    monkeypatch.setattr(Inception_V3_Weights, 'get_state_dict', lambda *_, **__: weights)
    assert load_features('inception', size=96)(lesions.images[:2]).shape == (2, 2048)


def test_features_are_cached_until_the_images_change(study, lesions, monkeypatch):
    calls = []

    def load(*which):
        calls.append(which)
        return lambda images: images.mean((1, 2), keepdims=True)[..., 0]

    monkeypatch.setattr(features, 'load_features', load)
    first = cached_features(study, 'real', lesions)
    assert np.array_equal(first, cached_features(study, 'real', lesions)) and len(calls) == 1
    assert len(cached_features(study, 'real', lesions[:5])) == 5 and len(calls) == 2
    assert (study.folder / 'audit/features/real/features.npy').exists()
