"""The reference classifier: a judge of another architecture than the study's VGG, which has seen many lesions that no generator saw.

It says which class a synthetic lesion looks like.  The same network taught by one synthetic set alone shows what that set can teach.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
from safetensors.torch import load_file, save_file

from genmix.classifier import training
from genmix.mixing import arms, batches
from genmix.run.device import DEVICE, autocast

SIZE = 32  # side of its input [px]; at 64 it is 1 point better and 2.4 times slower
CHANNELS = (16, 32, 64, 128)
BATCH, LR, WEIGHT_DECAY = 64, 4e-3, 0.02
ARM = arms.Arm('reference', 'balanced')  # classes drawn alike, flips, turns, zoom and shift


class ReferenceClassifier(nn.Module):
    """A residual network of ten layers (He et al. 2016, arXiv 1512.03385) for gray images.

    mean, std   of its training images in [0, 1]
    forward: uint8 or float 0-255 (n, 1, H, W) -> logits float32 (n, K)
    """

    def __init__(self, n_classes, mean=0.5, std=0.25):
        from timm.models.resnet import BasicBlock, ResNet  # slow to import

        super().__init__()
        net = ResNet(
            BasicBlock, [1, 1, 1, 1], n_classes, in_chans=1, stem_type='deep', stem_width=8, channels=CHANNELS
        )
        net.maxpool = nn.Identity()  # 32 pixels are few enough
        self.net, self.config = (
            net.to(memory_format=torch.channels_last),
            {'n_classes': n_classes, 'mean': mean, 'std': std},
        )

    def forward(self, x):
        x = (x.float() / 255 - self.config['mean']) / self.config['std']
        with autocast():
            return self.net(x.contiguous(memory_format=torch.channels_last)).float()

    def label(self, images):
        """Class numbers int64 (n,) of uint8 images (n, H, W)."""
        return training.predict(self, images, SIZE).argmax(1)


def train_reference(cohort, steps, seed=0):
    """A Judge trained on the lesions of `cohort`, every class drawn alike."""
    torch.manual_seed(seed)
    gray = cohort.images / np.float32(255)
    model = ReferenceClassifier(len(cohort.class_names), float(gray.mean()), float(gray.std()))
    pool = batches.Pool(cohort.images, cohort.labels, len(cohort.class_names)).to(DEVICE)
    draws = batches.Batches(ARM, pool, batches.MixingConfig(), steps, BATCH, seed)
    training.train(ARM, pool, draws, model, LR, WEIGHT_DECAY, seed, SIZE)
    return model.eval()


def reference_classifier(study, cohort, steps, seed=0):
    """The reference classifier, trained on `cohort` in stage audit/reference of the run unless it stands."""

    def build(out):
        model = train_reference(cohort, steps, seed)
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, out / 'model.safetensors')
        (out / 'config.json').write_text(json.dumps(model.config))

    return load(study.stage('audit/reference', build, {'steps': steps, 'seed': seed}, [cohort.content_hash]))


def load(folder):
    """The Judge that `reference` kept in `folder`."""
    model = ReferenceClassifier(**json.loads((Path(folder) / 'config.json').read_text()))
    model.load_state_dict(load_file(Path(folder) / 'model.safetensors'))
    return model.to(DEVICE).eval()


def tstr_labels(study, name, cohort, real, steps, seed=0):
    """Train on synthetic, test on real (Esteban et al. 2017, arXiv 1706.02633): labels int64 (len(real),) that a network taught by
    `cohort` alone gives to the lesions of `real`.  Kept in stage audit/taught/<name>."""

    def build(out):
        return np.save(out / 'labels.npy', train_reference(cohort, steps, seed).label(real.images))

    folder = study.stage(
        f'audit/taught/{name}',
        build,
        {'steps': steps, 'seed': seed},
        [cohort.content_hash, real.content_hash],
    )
    return np.load(folder / 'labels.npy', allow_pickle=False)
