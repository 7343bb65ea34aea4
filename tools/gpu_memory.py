"""Peak memory of the paper profile's networks, counted on a CPU: tensors have shapes, and no values.

python -m tools.gpu_memory stylegan --params params/gpu24.yaml      parts of tools.gpu_measure; CSV to stdout

What is counted: weights, gradients, optimisers, activations and temporary tensors, with autocast to bfloat16.
What is not: the CUDA context (about half a GB), workspaces of cuDNN, and what the allocator cannot use.
"""

import argparse
import sys
import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

from genmix.run import device
from tools.gpu_measure import PARTS, asked_of

LARGE = 2**13  # numbers: smaller tensors keep their values, for programs branch on them
STEPS = (1, 2, 16)  # of a training: the last one has every lazy penalty
META = torch.device('meta')
aten = torch.ops.aten


class Shape(torch.Tensor):
    """A tensor on the CPU that has no values; `inner` is a meta tensor."""

    @staticmethod
    def __new__(cls, inner):
        like = {'dtype': inner.dtype, 'layout': inner.layout, 'storage_offset': inner.storage_offset()}
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), device='cpu', requires_grad=False, **like
        )

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f'Shape({tuple(self.shape)}, {self.dtype})'

    def numpy(self, *how, **named):
        return torch.zeros(self.shape, dtype=torch.uint8).to(self.dtype).numpy()

    def __deepcopy__(self, memo):
        copied = memo[id(self)] = self.detach().clone().requires_grad_(self.requires_grad)
        copied._is_param = getattr(self, '_is_param', False)
        return copied

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f'{func}: outside of Memory')


class Memory(TorchDispatchMode):
    """While it is on, large tensors of floats are Shapes; `now` and `peak` count their bytes."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.seen = weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [x for x in tree_iter((args, kwargs)) if isinstance(x, torch.Tensor)]
        shapes = [x for x in given if isinstance(x, Shape)]
        if '_fused_adam' in str(func) and shapes:
            return None
        if func is aten._local_scalar_dense.default and shapes:
            return 0.5
        makes = not given and any(argument.name == 'device' for argument in func._schema.arguments)
        if makes and self.is_large(out := self.on_meta(func, args, kwargs | {'device': META})):
            return self.wrapped(out, {})
        if not shapes:
            out = func(*args, **kwargs)
            return tree_map_only(torch.Tensor, lambda x: self.counted(x) if self.is_large(x) else x, out)
        known = {id(x.inner): x for x in shapes}
        out = self.on_meta(func, args, kwargs)
        real = [x for x in given if not isinstance(x, Shape)]
        if func._schema.is_mutable and real and args[0] is real[0]:
            return real[0]  # what is changed in place keeps its values
        return self.wrapped(out, known)

    @staticmethod
    def is_large(x):
        return isinstance(x, torch.Tensor) and x.is_floating_point() and x.numel() >= LARGE

    @staticmethod
    def on_meta(func, args, kwargs):
        def meta(x):
            if isinstance(x, Shape):
                return x.inner
            return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device='meta')

        args, kwargs = tree_map_only(torch.Tensor, meta, (args, kwargs))
        args, kwargs = tree_map_only(torch.device, lambda place: META, (args, kwargs))
        kwargs = {k: None if isinstance(v, torch.Generator) else v for k, v in kwargs.items()}
        return func(*args, **kwargs)

    def counted(self, x):
        return self.wrapped(torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device='meta'), {})

    def wrapped(self, out, known):
        def wrap(x):
            self.count(x.untyped_storage())
            return known[id(x)] if id(x) in known else Shape(x)

        return tree_map_only(torch.Tensor, wrap, out)

    def count(self, storage):
        if storage not in self.seen:
            self.seen.add(storage)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.free, storage.nbytes())

    def free(self, n):
        self.now -= n


def main(argv=None):
    parser = argparse.ArgumentParser(prog='python -m tools.gpu_memory', description=__doc__.splitlines()[0])
    parser.add_argument('part', choices=sorted(PARTS))
    parser.add_argument('--params', default='params/paper.yaml', help='profile (default %(default)s)')
    args = parser.parse_args(argv)
    values = asked_of(args.params)
    print('what,counted_gb', flush=True)
    device.bf16_pays = lambda: True
    for what, peak in peaks(args.part, values):
        print(f'{what},{peak / 1e9:.2f}', flush=True)


def peaks(part, values):
    """(what, bytes) of each thing that a part of tools.gpu_measure runs."""
    memory = Memory()
    with memory:
        for what, step, _ in PARTS[part](values):
            memory.peak = memory.now
            for number in STEPS:
                step(number)
            yield what, memory.peak


if __name__ == '__main__':
    sys.exit(main())
