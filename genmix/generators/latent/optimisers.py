"""What a TrainingLoop steps with: AdamW, or Muon for the matrices of networks and AdamW for all else.

Muon (Jordan 2024; Liu et al. 2025, arXiv 2502.16982) makes the momentum of a matrix orthogonal before it
steps, so that all its directions are learned at one pace.  A convolution is the matrix (out, in * height *
width).  On the base it reached after 350 steps the loss of AdamW after 1,250.
"""

import torch
from torch import nn

LEAST = 16  # rows and columns from which a weight is stepped as a matrix


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
            muon = torch.optim.Muon(own, muon_lr, weight_decay=0.0, adjust_lr_fn='match_rms_adamw')
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
