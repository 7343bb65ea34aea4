"""The optimisers of a TrainingLoop against those of torch, by hand."""

import copy

import pytest
import torch
from torch import nn

from genmix.generators.latent import optimisers
from genmix.generators.latent.optimisers import Optimisers, matrices_of


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.Conv2d(16, 20, 3), nn.Conv2d(20, 4, 1)
    )


def named(net):
    return {f'net.{name}': p for name, p in net.named_parameters()}


def take_steps(net, optimisers, first, last):
    for i in range(first, last):
        x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(i))
        optimisers.zero_grad()
        net(x).square().mean().backward()
        optimisers.step(1 / (1 + i))


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))


def test_what_is_a_matrix_has_sixteen_rows_and_columns():
    assert matrices_of({'net': network()}) == {'net.0.weight', 'net.2.weight'}


def test_without_muon_it_is_adamw():
    ours, theirs = network(), network()
    take_steps(ours, Optimisers({'net': ours}, named(ours), 0.01), 0, 3)
    reference = torch.optim.AdamW(theirs.parameters(), 0.01, (0.9, 0.99), weight_decay=1e-4, fused=True)
    for i in range(3):
        x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(i))
        reference.zero_grad()
        theirs(x).square().mean().backward()
        reference.param_groups[0]['lr'] = 0.01 / (1 + i)
        reference.step()
    assert same(ours, theirs)


def test_muon_steps_a_convolution_as_a_matrix_and_adamw_the_rest(monkeypatch):
    monkeypatch.setattr(optimisers, 'bf16_pays', lambda: True)  # as torch's
    ours, theirs = network(), network()
    take_steps(ours, Optimisers({'net': ours}, named(ours), 0.01, 0.02), 0, 1)
    theirs(torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))).square().mean().backward()
    weight = theirs[2].weight
    flat = nn.Parameter(weight.detach().flatten(1).clone())
    flat.grad = weight.grad.flatten(1)
    torch.optim.Muon([flat], 0.02, weight_decay=0.0, adjust_lr_fn='match_rms_adamw').step()
    assert torch.equal(ours[2].weight.flatten(1), flat)
    rest = [theirs[3].weight, theirs[0].bias]
    torch.optim.AdamW(rest, 0.01, (0.9, 0.99), weight_decay=1e-4, fused=True).step()
    assert torch.equal(ours[3].weight, rest[0]) and torch.equal(ours[0].bias, rest[1])


@pytest.mark.parametrize('shape', [(16, 16), (20, 144), (144, 20)])
def test_muon_in_float32_is_nearer_to_its_singular_vectors_than_in_bfloat16(monkeypatch, shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    s, (a, b, c) = s / s.norm(), optimisers.QUINTIC
    for _ in range(optimisers.ITERATIONS):
        s = a * s + b * s**3 + c * s**5
    exact, errors = u * s @ v, {}
    for units in (True, False):
        monkeypatch.setattr(optimisers, 'bf16_pays', lambda units=units: units)
        found = optimisers.orthogonalise(matrix)
        assert found.dtype == (torch.bfloat16 if units else torch.float32)
        errors[units] = float((found - exact).norm() / exact.norm())
    assert errors[False] < 1e-4 < errors[True] < 0.1


@pytest.mark.parametrize('muon_lr', [0.0, 0.02])
def test_what_is_restored_goes_on_as_if_nothing_had_happened(muon_lr):
    whole, stopped = network(), network()
    take_steps(whole, Optimisers({'net': whole}, named(whole), 0.01, muon_lr), 0, 4)
    before = Optimisers({'net': stopped}, named(stopped), 0.01, muon_lr)
    take_steps(stopped, before, 0, 2)
    moments, resumed = copy.deepcopy(before.moments()), copy.deepcopy(stopped)
    assert moments.keys() == (
        {'exp_avg', 'exp_avg_sq', 'momentum_buffer'} if muon_lr else {'exp_avg', 'exp_avg_sq'}
    )
    after = Optimisers({'net': resumed}, named(resumed), 0.01, muon_lr)
    after.restore(2, moments)
    take_steps(resumed, after, 2, 4)
    assert same(whole, resumed)
