"""NVlabs' stylegan2-ada-pytorch on this machine's device: its networks, loss and augmentation, unchanged.

They are imported from the checkout; the loop is that of its training_loop.py (phases, lazy regularisation,
EMA), which itself asks for CUDA.  In float32: num_fp16_res 0, no clamp.  beta1 is written as a float, since
newer PyTorch refuses [0, .99].
"""

import copy
import sys

import torch
from peers import checkout

from genmix.data.sampling import one_hot
from genmix.run.device import DEVICE

R1_EVERY = 16  # its D_reg_interval
EMA_BETA = 0.99
AUGMENTATION = {  # its bgc without inversion, hue and saturation, as ours
    'xflip': 1, 'rotate90': 1, 'xint': 1, 'scale': 1, 'rotate': 1, 'aniso': 1, 'xfrac': 1,
    'brightness': 1, 'contrast': 1,
}  # fmt: skip


def networks(config, n_classes, size):
    """Generator and discriminator of the widths of a StyleGANConfig, without gradients between its phases."""
    sys.path.insert(0, str(checkout('stylegan2-ada-pytorch')))
    from training.networks import Discriminator, Generator

    common = {'c_dim': n_classes, 'img_resolution': size, 'img_channels': 1}
    wide = {'channel_base': config.width * size, 'channel_max': config.max_channels, 'num_fp16_res': 0}
    generator = Generator(
        z_dim=config.z_dim,
        w_dim=config.w_dim,
        mapping_kwargs={'num_layers': config.mapping_layers},
        synthesis_kwargs=wide,
        **common,
    )
    discriminator = Discriminator(epilogue_kwargs={'mbstd_group_size': 8}, **wide, **common)
    return [net.train().requires_grad_(False).to(DEVICE) for net in (generator, discriminator)]


class OfficialTraining:
    """Its training on a cohort, step by step, without path length regularisation, as ours.

    p   of its adaptive augmentation, held; None for none
    """

    def __init__(self, cohort, config, p=None):
        torch.manual_seed(config.seed)
        self.cohort, self.config, n = cohort, config, len(cohort.class_names)
        self.nets = networks(config, n, cohort.images.shape[1])
        from training.augment import AugmentPipe
        from training.loss import StyleGAN2Loss

        generator, discriminator = self.nets
        self.ema = copy.deepcopy(generator).eval()
        pipe = None if p is None else AugmentPipe(**AUGMENTATION).to(DEVICE).requires_grad_(False)
        if pipe:
            pipe.p.fill_(p)
        how = {'r1_gamma': config.r1_gamma, 'style_mixing_prob': config.style_mixing, 'pl_weight': 0}
        self.loss = StyleGAN2Loss(DEVICE, generator.mapping, generator.synthesis, discriminator, pipe, **how)
        self.classes = torch.from_numpy(one_hot(range(n), n)).to(DEVICE)
        lazy = R1_EVERY / (R1_EVERY + 1)
        self.optimisers = [
            torch.optim.Adam(net.parameters(), config.lr * share, betas=(0.0, 0.99**share))
            for net, share in zip(self.nets, (1, lazy))
        ]

    def step(self, number):
        """Step `number` of both networks and of the EMA."""
        size = self.config.batch_size
        rows = torch.randint(len(self.cohort), (size,)).numpy()
        x = torch.from_numpy(self.cohort.images[rows, None]).to(DEVICE).float() / 127.5 - 1
        y = self.classes[self.cohort.labels[rows]]
        for name, which, every in (('Gmain', 0, 1), ('Dmain', 1, 1), ('Dreg', 1, R1_EVERY)):
            if number % every:
                continue
            z = torch.randn(size, self.config.z_dim, device=DEVICE)
            own = self.classes[torch.randint(len(self.classes), (size,))]
            self.update(name, which, {'real_img': x, 'real_c': y, 'gen_z': z, 'gen_c': own, 'gain': every})
        with torch.no_grad():
            for mean, now in zip(self.ema.parameters(), self.nets[0].parameters()):
                mean.copy_(now.lerp(mean, EMA_BETA))
            for mean, now in zip(self.ema.buffers(), self.nets[0].buffers()):
                mean.copy_(now)

    def update(self, name, which, batch):
        net, optimiser = self.nets[which], self.optimisers[which]
        optimiser.zero_grad(set_to_none=True)
        net.requires_grad_(True)
        self.loss.accumulate_gradients(phase=name, sync=True, **batch)
        net.requires_grad_(False)
        for parameter in net.parameters():
            if parameter.grad is not None:
                torch.nan_to_num(parameter.grad, nan=0, posinf=1e5, neginf=-1e5, out=parameter.grad)
        optimiser.step()
