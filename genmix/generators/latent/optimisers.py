"""What a TrainingLoop steps with: AdamW, or Muon for the matrices of networks and AdamW for all else.

Muon (Jordan 2024; Liu et al. 2025, arXiv 2502.16982) makes the momentum of a matrix orthogonal before it
steps, so that all its directions are learned at one pace.  A convolution is the matrix (out, in * height *
width).  On the base it reached after 350 steps the loss of AdamW after 1,250.
"""

import math

import torch
from torch import nn

from genmix.run.device import bf16_pays

LEAST = 16  # rows and columns from which a weight is stepped as a matrix
MOMENTUM = 0.95
QUINTIC = (3.4445, -4.7750, 2.0315)  # x -> ax + bx^3 + cx^5 of singular values: Jordan's coefficients
ITERATIONS, EPS = 5, 1e-7


class Optimisers:
    """AdamW for parameters, {name: Parameter}, or with `muon_lr` above 0 Muon for those that are matrices.

    networks   {name: module} that the parameters belong to, named '<network>.<parameter>'
    lr         peak learning rate of AdamW
    muon_lr    that of Muon, in the unit of AdamW's: its steps are scaled to the same root mean square
    """

    def __init__(self, networks, parameters, lr, muon_lr=0.0):
        self.parameters = parameters
        matrices = matrices_of(networks) & parameters.keys() if muon_lr else set()
        # A view of the same memory, for Muon takes nothing but two dimensions.
        self.stepped = {
            name: nn.Parameter(p.data.view(len(p), -1)) if name in matrices else p
            for name, p in parameters.items()
        }
        others = [p for name, p in self.stepped.items() if name not in matrices]
        adamw = torch.optim.AdamW(others, lr, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
        self.peaks = {adamw: lr}  # of the learning rate of each optimiser
        self.of = dict.fromkeys(parameters, adamw)  # {name: its optimiser}
        if matrices:
            own = [self.stepped[name] for name in sorted(matrices)]
            muon = Muon(own, muon_lr)
            self.peaks[muon] = muon_lr
            self.of |= dict.fromkeys(matrices, muon)

    def zero_grad(self):
        for p in self.parameters.values():
            p.grad = None

    def step(self, share):
        """One step with this share of the peak learning rates."""
        for name, p in self.parameters.items():
            if self.stepped[name] is not p and p.grad is not None:
                self.stepped[name].grad = p.grad.view(len(p), -1)
        for optimiser, peak in self.peaks.items():
            for group in optimiser.param_groups:
                group['lr'] = share * peak
            optimiser.step()

    def moments(self):
        """What was averaged over steps so far, in the shapes of the parameters: {moment: {name: tensor}}."""
        found = {}
        for name, p in self.stepped.items():
            state = self.of[name].state[p]
            for moment in state.keys() - {'step'}:
                found.setdefault(moment, {})[name] = state[moment].view(self.parameters[name].shape)
        return found

    def restore(self, step, moments):
        """Go on after so many steps from what `moments` gave."""
        for name, p in self.stepped.items():
            own = {
                moment: tensors[name].view(p.shape) for moment, tensors in moments.items() if name in tensors
            }
            self.of[name].state[p] = own | {'step': torch.tensor(float(step), device=p.device)}


class Muon(torch.optim.Optimizer):
    """torch.optim.Muon(matrices, lr, weight_decay=0.0, adjust_lr_fn='match_rms_adamw'), in float32 where
    bfloat16 is emulated.

    That one always computes in bfloat16: without units for it a training of 05 spent four fifths of its time
    there (AVX2).
    """

    def __init__(self, matrices, lr):
        super().__init__(matrices, {'lr': lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group['params']:
                if p.grad is None:
                    continue
                mean = (
                    self.state[p]
                    .setdefault('momentum_buffer', torch.zeros_like(p))
                    .lerp_(p.grad, 1 - MOMENTUM)
                )
                nearby = orthogonalise(p.grad.lerp(mean, MOMENTUM))
                p.add_(nearby, alpha=-group['lr'] * 0.2 * math.sqrt(max(p.shape)))


def orthogonalise(matrix):
    """A matrix with the singular vectors of `matrix` and singular values between .5 and 1.5 or so, by Newton
    and Schulz's iteration.
    """
    a, b, c = QUINTIC
    x = matrix.to(torch.bfloat16 if bf16_pays() else torch.float32)
    x = x.T if len(x) > x.shape[1] else x
    x = x / x.norm().clamp(min=EPS)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if len(matrix) > matrix.shape[1] else x


def matrices_of(networks):
    """Names '<network>.<parameter>' of weights of convolutions and linear layers of at least LEAST rows and
    columns: a set.
    """
    return {
        f'{network}.{name}.weight'
        for network, net in networks.items()
        for name, module in net.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and min(module.weight.flatten(1).shape) >= LEAST
    }
