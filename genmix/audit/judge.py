"""The reference classifier: another architecture than the study's VGG, trained on lesions no generator saw.

It measures class agreement: whether a synthetic lesion looks like its class.  The same network trained on one
synthetic set alone measures what that set is worth for training (TSTR).
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
from safetensors.torch import load_file, save_file

from genmix.classifier.config import TrainingConfig
from genmix.classifier.training import fit_classifier, predict
from genmix.mixing.arms import Arm
from genmix.mixing.batches import Pool
from genmix.run.device import DEVICE, autocast
from genmix.run.gpu import gpu_job

SIZE = 32  # side of its input [px]; at 64 it is 1 point better and 2.4 times slower
CHANNELS = (16, 32, 64, 128)
OPTIMISATION = {'batch_size': 64, 'lr': 4e-3, 'weight_decay': 0.02}
ARM = Arm(name='reference', kind='real', balance='balanced')


class ReferenceClassifier(nn.Module):
    """A residual network of ten layers (He et al. 2016, arXiv 1512.03385) for gray images.

    mean, std   of its training images in [0, 1]

    forward: uint8 or float 0-255 (n, 1, H, W) -> logits float32 (n, K)
    """

    def __init__(self, n_classes, mean=0.5, std=0.25):
        from timm.models.resnet import BasicBlock, ResNet  # slow to import

        super().__init__()
        stem = {'in_chans': 1, 'stem_type': 'deep', 'stem_width': 8}
        net = ResNet(BasicBlock, [1, 1, 1, 1], n_classes, channels=CHANNELS, **stem)
        net.maxpool = nn.Identity()  # 32 pixels are few enough
        self.net = net.to(memory_format=torch.channels_last)
        self.config = {'n_classes': n_classes, 'mean': mean, 'std': std}

    def forward(self, x):
        x = (x.float() / 255 - self.config['mean']) / self.config['std']
        with autocast():
            return self.net(x.contiguous(memory_format=torch.channels_last)).float()

    def label(self, images):
        """Predicted classes int64 (n,) of uint8 images (n, H, W)."""
        return predict(self, images, SIZE).argmax(1)


def train_reference(cohort, steps, seed=0):
    """A ReferenceClassifier trained on the lesions of `cohort` for so many optimiser steps."""
    torch.manual_seed(seed)
    gray = cohort.images / np.float32(255)
    model = ReferenceClassifier(len(cohort.class_names), float(gray.mean()), float(gray.std()))
    config = TrainingConfig(steps=steps, **OPTIMISATION, input_size=SIZE, augmentation_strength=1.0)
    with gpu_job('reference classifier', lower='reference_lesions'):
        fit_classifier(model, ARM, Pool(cohort), config, seed)
    return model.eval()


def reference_classifier(study, cohort, steps, seed=0):
    """The ReferenceClassifier of stage audit/reference, trained on `cohort` unless cached."""

    def build(out):
        model = train_reference(cohort, steps, seed)
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, out / 'model.safetensors')
        (out / 'config.json').write_text(json.dumps(model.config))

    return load(study.stage('audit/reference', build, {'steps': steps, 'seed': seed}, [cohort.content_hash]))


def load(folder):
    """The ReferenceClassifier that `reference_classifier` saved in `folder`, on DEVICE."""
    model = ReferenceClassifier(**json.loads((Path(folder) / 'config.json').read_text()))
    model.load_state_dict(load_file(Path(folder) / 'model.safetensors'))
    return model.to(DEVICE).eval()


def tstr_labels(study, name, cohort, real, steps, seed=0):
    """Train on synthetic, test on real (TSTR; Esteban 2017, arXiv 1706.02633): stage audit/tstr/<name>.

    Classes int64 (len(real),) of the lesions of `real`, predicted by a network trained on `cohort` alone.
    """

    def build(out):
        np.save(out / 'labels.npy', train_reference(cohort, steps, seed).label(real.images))

    inputs = [cohort.content_hash, real.content_hash]
    folder = study.stage(f'audit/tstr/{name}', build, {'steps': steps, 'seed': seed}, inputs)
    return np.load(folder / 'labels.npy', allow_pickle=False)
