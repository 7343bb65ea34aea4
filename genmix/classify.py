"""VGG-16 on lesions: the network, the training loop (a fastai Learner), predictions.

Images stay uint8 in memory; a batch is augmented in one affine warp, then mixed, in channels_last and bfloat16 where that pays.
"""
import math
from functools import partial

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from fastai.callback.schedule import ParamScheduler, combined_cos
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.callback.core import Callback
from fastai.optimizer import OptimWrapper

from genmix.device import DEVICE, autocast, seed_all
from genmix.mixing import blend

# VGG-16: Simonyan & Zisserman 2015, arXiv 1409.1556, table 1, column D
CHANNELS = [64, 64, 'M', 128, 128, 'M', 256, 256, 256, 'M', 512, 512, 512, 'M', 512, 512, 512, 'M']


class Classifier(nn.Module):
    """VGG-16 with batch norm in torchvision's layout, for gray images.

    width   scales every channel and the hidden layers; 1.0 is the paper's network
    size    side of the input in pixels, at least 32; the pooled grid is size // 32, torchvision's 7 at 224
    mean, std   of the training images in [0, 1]; kept with the weights
    bf16    True, False, or None: where it pays

    forward: uint8 or float 0-255 (n, 1, H, W) -> logits float32 (n, K).  `features` gives the last hidden layer.
    """

    def __init__(self, n_classes, width=1., size=224, mean=.5, std=.25, dropout=.5, bf16=None):
        from torchvision.models import vgg       # slow to import, and most processes build no classifier
        super().__init__()
        scaled = [c if c == 'M' else max(1, round(c * width)) for c in CHANNELS]
        grid, hidden = max(1, min(7, size // 32)), max(1, round(4096 * width))
        with torch.device('meta'):      # torchvision's layout without its hidden layers, whose 120 million weights take a second to draw
            net = vgg.VGG(nn.Identity(), n_classes, init_weights=False)
        net.features = vgg.make_layers(scaled, batch_norm=True)
        net.features[0] = nn.Conv2d(1, scaled[0], 3, padding=1)
        net.avgpool = nn.Identity() if size // 32 == grid else nn.AdaptiveAvgPool2d(grid)      # the features are that grid already
        net.classifier = nn.Sequential(nn.Linear(scaled[-2] * grid * grid, hidden), nn.ReLU(True), nn.Dropout(dropout),
                                       nn.Linear(hidden, hidden), nn.ReLU(True), nn.Dropout(dropout), nn.Linear(hidden, n_classes))
        for layer in net.modules():      # torchvision's N(0, .01) starves narrow hidden layers; He initialisation scales with width
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
                nn.init.zeros_(layer.bias)
        self.net, self.bf16 = net.to(memory_format=torch.channels_last), bf16
        self.register_buffer('mean', torch.tensor(255. * mean))
        self.register_buffer('std', torch.tensor(255. * std))

    def _run(self, x, head):
        x = ((x.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with autocast(self.bf16):
            return head(torch.flatten(self.net.avgpool(self.net.features(x)), 1)).float()

    def forward(self, x):
        return self._run(x, self.net.classifier)

    def features(self, x):
        """Activations of the last hidden layer: float32 (n, 4096 width)."""
        return self._run(x, self.net.classifier[:-1])


def load_imagenet(classifier):
    """Fill a width-1 classifier with torchvision's ImageNet weights; the first layer sums over the colours of a gray image."""
    from torchvision.models import vgg
    weights = vgg.VGG16_BN_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
    weights['features.0.weight'] = weights['features.0.weight'].sum(1, keepdim=True)
    fitting = {k: v for k, v in weights.items() if v.shape == classifier.net.state_dict()[k].shape}
    classifier.net.load_state_dict(fitting, strict=False)
    return classifier


def affine_warp(x, rng, zoom=.15, shift=.08):
    """Classical augmentation of a whole batch in one warp: flips, any rotation, zoom, shift; borders are reflected.

    x float (n, 1, H, W); `zoom` and `shift` are the largest relative changes.  `rng` is a NumPy Generator.
    """
    n, _, h, w = x.shape
    angle, scale = rng.uniform(-math.pi, math.pi, n), rng.uniform(1 - zoom, 1 + zoom, n)
    cos, sin, flip = np.cos(angle) * scale, np.sin(angle) * scale, rng.choice([-1., 1.], n)
    move = rng.uniform(-2 * shift, 2 * shift, (2, n))      # the grid spans [-1, 1]
    # A place in the image as one complex number: F.affine_grid by broadcasting, several times faster.
    along, down, move = (torch.as_tensor(a + 1j * b, dtype=torch.complex64, device=x.device)[:, None, None]
                         for a, b in ((cos * flip, sin * flip), (-sin, cos), move))
    gy, gx = ((torch.arange(side, dtype=x.dtype, device=x.device) * 2 + 1) / side - 1 for side in (h, w))      # pixel centres
    grid = torch.view_as_real((along * gx + down * gy[:, None]).add_(move))
    return F.grid_sample(x, grid, padding_mode='reflection', align_corners=False)


class SoftLabelBatches(Callback):
    """Turns rows (a, b, lambda) of the pool into images and soft labels: augment each parent, then mix.

    A stored GenMix image is one row, so one warp serves both of its parents.
    """

    def __init__(self, pool, classical, size, seed):
        self.pool, self.classical, self.size, self.rng = pool, classical, size, np.random.default_rng(seed)

    def before_batch(self):
        a, b, lam = *self.learn.xb, *self.learn.yb
        mixed = (a != b).nonzero()[:, 0]
        x = self.images(torch.cat([a, b[mixed]]))
        y, x, other = self.pool.soft[a], x[:len(a)], x[len(a):]
        if len(mixed):
            x = x.index_copy(0, mixed, blend(x[mixed], other, lam[mixed].cpu().numpy()))
            y = blend(y, self.pool.soft[b], lam.cpu().numpy())
        self.learn.xb, self.learn.yb = (x,), (y,)

    def images(self, rows):
        x = self.pool.images[rows].float()
        return resized(affine_warp(x, self.rng) if self.classical else x, self.size)


def resized(x, size):
    """Float images (n, 1, H, W) at the network's input size: averaged down, or interpolated up.

    It comes after the warp: averaging hides what interpolation did to the grain, so that warped and plain images look alike.
    """
    if x.shape[-1] == size:
        return x
    up = x.shape[-1] < size
    return F.interpolate(x, size=(size, size), mode='bilinear' if up else 'area', **({'align_corners': False} if up else {}))


class LossLog(Callback):
    """The training loss of every step (accuracy under mixing means nothing)."""
    def before_fit(self): self.kept = []
    def after_batch(self): self.kept.append(self.learn.loss.detach())


def train(arm, pool, draws, model, lr=2e-3, weight_decay=.02, seed=0, size=32):
    """Train `model` on the batches of `draws` (one pass); returns the loss of every step.

    AdamW under a one-cycle schedule.  `seed` drives augmentation and dropout.
    """
    seed_all(seed)
    model.to(DEVICE).train()
    log = LossLog()
    optimiser = partial(OptimWrapper, opt=partial(torch.optim.AdamW, fused=True))
    learn = Learner(DataLoaders(draws, [], device=DEVICE), model, loss_func=nn.CrossEntropyLoss(), opt_func=optimiser, lr=lr, wd=weight_decay,
                    cbs=[SoftLabelBatches(pool, arm.classical, size, seed + 1), log])
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, cbs=ParamScheduler({'lr': combined_cos(.25, lr / 25, lr, lr / 1e4)}))
    return torch.stack(log.kept).float().cpu().numpy()


@torch.inference_mode()
def predict(model, images, size=32, batch_size=512, of='forward'):
    """Class probabilities float32 (n, K) of uint8 images (n, H, W); `of='features'` gives the last hidden layer instead."""
    model.eval()
    out = []
    for part in torch.from_numpy(np.ascontiguousarray(images)).split(batch_size):
        x = resized(part.unsqueeze(1).to(DEVICE).float(), size)
        out.append(getattr(model, of)(x).cpu())
    out = torch.cat(out)
    return (out.softmax(1) if of == 'forward' else out).numpy()
