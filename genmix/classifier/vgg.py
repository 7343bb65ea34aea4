"""VGG-16 for gray images of lesions, in torchvision's layout."""

from typing import Any

import numpy as np
import torch
import torch.nn as nn

from genmix.classifier.config import Regime
from genmix.data.cohort import Cohort
from genmix.run.device import autocast

# Simonyan & Zisserman 2015, arXiv 1409.1556, table 1, column D
CHANNELS = [64, 64, 'M', 128, 128, 'M', 256, 256, 256, 'M', 512, 512, 512, 'M', 512, 512, 512, 'M']


class Classifier(nn.Module):
    """VGG-16 with batch norm.

    width   scales every channel and the hidden layers; 1.0 is the paper's network
    size    side of the input in pixels, at least 32; the pooled grid is size // 32, torchvision's 7 at 224
    mean, std   of the training images in [0, 1]; saved with the weights
    bf16    True, False, or None: where it pays

    forward: uint8 or float 0-255 (n, 1, H, W) -> logits float32 (n, K).
    """

    def __init__(self, n_classes, width=1.0, size=224, mean=0.5, std=0.25, dropout=0.5, bf16=None):
        from torchvision.models import vgg  # slow to import, and most processes build no classifier

        super().__init__()
        scaled: list[Any] = [c if c == 'M' else max(1, round(c * width)) for c in CHANNELS]
        grid, hidden = max(1, min(7, size // 32)), max(1, round(4096 * width))
        # Without torchvision's hidden layers: to draw their 120 million weights takes a second.
        with torch.device('meta'):
            net = vgg.VGG(nn.Identity(), n_classes, init_weights=False)
        net.features = vgg.make_layers(scaled, batch_norm=True)
        net.features[0] = nn.Conv2d(1, scaled[0], 3, padding=1)
        net.avgpool = nn.Identity() if size // 32 == grid else nn.AdaptiveAvgPool2d(grid)
        first, second = nn.Linear(scaled[-2] * grid * grid, hidden), nn.Linear(hidden, hidden)
        head = [first, nn.ReLU(True), nn.Dropout(dropout), second, nn.ReLU(True), nn.Dropout(dropout)]
        net.classifier = nn.Sequential(*head, nn.Linear(hidden, n_classes))
        # torchvision's N(0, .01) starves narrow hidden layers; He initialisation scales with width
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
                nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
        self.net, self.bf16 = net.to(memory_format=torch.channels_last), bf16
        self.register_buffer('mean', torch.tensor(255.0 * mean))
        self.register_buffer('std', torch.tensor(255.0 * std))

    def _run(self, x, head):
        x = ((x.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with autocast(self.bf16):
            return head(torch.flatten(self.net.avgpool(self.net.features(x)), 1)).float()

    def forward(self, x):
        return self._run(x, self.net.classifier)

    def features(self, x):
        """Penultimate features, the activations of the last hidden layer: float32 (n, 4096 width)."""
        return self._run(x, self.net.classifier[:-1])


def build_classifier(regime: Regime, train: Cohort) -> Classifier:
    """An untrained classifier with the statistics of the training images."""
    gray = train.images / np.float32(255)
    classes, mean, std = len(train.class_names), float(gray.mean()), float(gray.std())
    model = Classifier(classes, regime.vgg_width, regime.input_size, mean, std)
    return load_imagenet(model) if regime.weights == 'imagenet' else model


def load_imagenet(classifier):
    """Fill a width-1 classifier with ImageNet weights; its first layer sums over their colours."""
    from torchvision.models import vgg

    weights = vgg.VGG16_BN_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
    weights['features.0.weight'] = weights['features.0.weight'].sum(1, keepdim=True)
    fitting = {k: v for k, v in weights.items() if v.shape == classifier.net.state_dict()[k].shape}
    classifier.net.load_state_dict(fitting, strict=False)
    return classifier
