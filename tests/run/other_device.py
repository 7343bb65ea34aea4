"""A second device made of CPU memory: what CUDA refuses, it refuses, on a machine without a GPU.

A tensor of this device wraps a CPU tensor and reports another device.  Every operation is computed on the
CPU, with its values, after a look at where its arguments are.  So whole trainings run, backward passes too,
which fake and meta tensors do not allow: they have no values to branch on.  What would make a program wait
for a GPU is written down in `waits`.
"""

from contextlib import nullcontext

import safetensors.torch
import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
COPIES = (aten._to_copy.default, aten.copy_.default)
INDEXED = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default)


READ = (aten._local_scalar_dense.default, aten.nonzero.default, aten._unique2.default)
waits = []  # names of operations that end only when all work on the device is done


class DeviceModule:
    """What torch asks of torch.<device>."""

    def is_initialized(self):
        return True

    def is_available(self):
        return True

    def current_device(self):
        return 0

    def device_count(self):
        return 1

    def _is_in_bad_fork(self):
        return False

    def manual_seed_all(self, seed):
        pass

    def get_rng_state(self, device):
        return torch.get_rng_state()  # its random numbers are those of the CPU

    def set_rng_state(self, state, device):
        pass

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]


def register():
    """The device, made known to torch: once a process, and for all of it."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend('other', DeviceModule())
    # tensors made in inference mode cannot wrap others
    torch.inference_mode = lambda mode=True: torch.no_grad() if mode else nullcontext()
    save = safetensors.torch.save_file  # reads memory where it lies, as of CUDA after a copy to the CPU
    safetensors.torch.save_file = lambda tensors, *more, **named: save(
        {k: v.cpu() for k, v in tensors.items()}, *more, **named
    )
    return torch.device('other:0')


class OtherTensor(torch.Tensor):
    """A CPU tensor `inner` that reports to be on the other device."""

    @staticmethod
    def __new__(cls, inner):
        like = {'dtype': inner.dtype, 'layout': inner.layout, 'storage_offset': inner.storage_offset()}
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), device=torch.device('other:0'), **like
        )

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f'OtherTensor({self.inner})'

    @property
    def data(self):
        return self.detach()

    @data.setter
    def data(self, value):
        torch.Tensor.data.__set__(self, value)
        self.inner = value.inner

    def __format__(self, how):
        return format(self.inner.detach(), how)

    def storage(self):
        return self.inner.storage()  # libraries compare addresses

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})


class OtherDevice(TorchDispatchMode):
    """While it is on, tensors can be made on the other device, and moved to it."""

    def __enter__(self):
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=) moves where this mode sees it
        return super().__enter__()

    def __exit__(self, *error):
        torch._C._set_only_lift_cpu_tensors(False)
        return super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return dispatch(func, args, kwargs or {})


def flat(given):
    """What lists, tuples and dicts hold, in order: torch's own pytree took nearly half of a training."""
    if isinstance(given, (list, tuple)):
        return [x for one in given for x in flat(one)]
    return flat([*given.values()]) if isinstance(given, dict) else [given]


def mapped(change, given):
    """`change` of each thing that `flat` finds, in the same lists, tuples and dicts."""
    if isinstance(given, (list, tuple)):
        return type(given)(mapped(change, one) for one in given)
    if isinstance(given, dict):
        return {name: mapped(change, one) for name, one in given.items()}
    return change(given)


def on_cpu(x):
    if isinstance(x, OtherTensor):
        return x.inner
    return torch.device('cpu') if isinstance(x, torch.device) else x


def dispatch(func, args, kwargs):
    """`func` on CPU memory; what comes out is on the device that was asked for, or that of the arguments."""
    given = flat((args, kwargs))
    devices = [x.type for x in given if isinstance(x, torch.device)]
    others = [x for x in given if isinstance(x, OtherTensor)]
    there = 'other' in devices if devices else bool(others)
    if func not in COPIES:
        check(func, args, kwargs, there)
    if is_waited_for(func, args, kwargs, devices, others):
        waits.append(str(func))
    out = func(*mapped(on_cpu, args), **mapped(on_cpu, kwargs))
    if func is aten.copy_.default:
        return args[0]
    if not there:
        return out
    known = {id(x.inner): x for x in others}  # what was changed in place

    def over_there(x):
        if id(x) in known:
            return known[id(x)]
        return OtherTensor(x) if isinstance(x, torch.Tensor) else x

    return mapped(over_there, out)


def is_waited_for(func, args, kwargs, devices, others):
    """Whether CUDA would make the program wait: values are read, or copied over without `non_blocking`."""
    if func not in COPIES:
        read = func in READ or (
            func in INDEXED and any(x.dtype == torch.bool for x in args[1] if x is not None)
        )
        return read and bool(others)
    if func is aten.copy_.default:
        onto_it, across = isinstance(args[0], OtherTensor), len(others) == 1
        told = kwargs.get('non_blocking') or args[2:] == (True,)
    else:
        onto_it = 'other' in devices
        across, told = bool(devices) and onto_it != bool(others), kwargs.get('non_blocking')
    return across and not (onto_it and told)


def check(func, args, kwargs, there):
    """RuntimeError where CUDA would find two devices: a number (0 dimensions) may lie on the CPU.

    A tensor of CUDA may be indexed from the CPU, not the reverse.
    """
    if func in INDEXED and isinstance(args[0], OtherTensor):
        args = (args[0], *args[2:])
    given = flat((args, kwargs))
    tensors = [x for x in given if isinstance(x, torch.Tensor)]
    plain = [x for x in tensors if not isinstance(x, OtherTensor) and (x.dim() or func in INDEXED)]
    if plain and (there or len(plain) < len([x for x in tensors if x.dim()])):
        raise RuntimeError(f'{func}: tensors on two devices')
    if there and any(isinstance(x, torch.Generator) for x in given):
        raise RuntimeError(f'{func}: a generator of the CPU cannot draw on this device')
