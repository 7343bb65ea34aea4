"""A training step of the classifier under mixup: ours beside plain loops with torchvision's and timm's."""

import timm.data.mixup
import torch
from measure import in_turns, report
from test_arms import configured
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms import InterpolationMode, v2

from genmix.classifier.config import TrainingConfig
from genmix.classifier.training import fit_classifier
from genmix.classifier.vgg import Classifier
from genmix.data.augmentation import resized
from genmix.data.phantom import plan
from genmix.mixing.arms import arms_for
from genmix.mixing.batches import Pool

BATCH, STEPS, ALPHA, WIDTH, SIDE = 64, 12, 0.4, 0.125, 32
LR, DECAY = 2e-3, 0.02


def our_loop(cohort):
    batches, rules = configured(mixed_share=1.0, alpha=ALPHA)
    optimisation = {'batch_size': BATCH, 'lr': LR, 'weight_decay': DECAY, 'augmentation_strength': 1.0}
    config = TrainingConfig(steps=STEPS, input_size=SIDE, **optimisation)
    model, pool, arm = Classifier(3, WIDTH, SIDE), Pool(cohort), arms_for()['mixup']
    return lambda: fit_classifier(model, arm, pool, config, 0, batches, rules['mixup'])


def plain_loop(cohort, mix):
    """What one writes with PyTorch: the same network in the same precision, each image warped by itself.

    mix   of uint8-range floats (n, 1, H, W) and labels (n,) to images and soft labels
    """
    data = TensorDataset(torch.tensor(cohort.images)[:, None].float(), torch.tensor(cohort.labels))
    loader = DataLoader(data, BATCH, shuffle=True, drop_last=True)
    affine = v2.RandomAffine(180, (0.08, 0.08), (0.85, 1.15), interpolation=InterpolationMode.BILINEAR)
    warp = v2.Compose([v2.RandomHorizontalFlip(), affine])
    model = Classifier(3, WIDTH, SIDE).train()
    optimiser = torch.optim.AdamW(model.parameters(), LR, weight_decay=DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, total_steps=10**6)

    def run():
        for _, (x, y) in zip(range(STEPS), loader):
            x, y = mix(torch.stack([warp(image) for image in x]), y)
            loss = torch.nn.functional.cross_entropy(model(resized(x, SIDE)), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()

    return run


def test_mixup_training():
    cohort = plan.draw('dev', (300, 300, 300), seed=7)
    mixup = timm.data.mixup.Mixup(ALPHA, label_smoothing=0.0, num_classes=3)
    ways = {
        'ours': our_loop(cohort),
        'plain loop, torchvision v2.MixUp': plain_loop(cohort, v2.MixUp(alpha=ALPHA, num_classes=3)),
        'plain loop, timm Mixup': plain_loop(cohort, mixup),
    }
    note = f'VGG-16 of width {WIDTH}, {SIDE} px, batch {BATCH}, every image warped by itself and mixed'
    report('a step of the classifier under mixup', in_turns(ways, STEPS), note=note)
