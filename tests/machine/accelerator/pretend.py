"""A pretend accelerator, `pretend`, for torch, built from pretend.cpp and installed by the import.

Its memory is the machine's own and its kernels are the CPU's, but its tensors refuse to mix with
the CPU's, as a GPU's do. `waits` counts the copies and scalars that the host waited for, and `sent`
the copies to it: from memory that is not pinned CUDA's, too, wait for all kernels.
"""

import ctypes
import types
from pathlib import Path

import torch
from torch.utils.cpp_extension import load

_source = str(Path(__file__).with_name("pretend.cpp"))
_built = ctypes.CDLL(load("pretend_c", [_source], extra_cflags=["-O1"], is_python_module=False))
_built.waits.restype = _built.sent.restype = ctypes.c_int64
_built.install()
torch.utils.rename_privateuse1_backend("pretend")
_module = types.ModuleType("torch.pretend")
_module.is_available = lambda: True
_module.device_count = lambda: 2
_module.current_device = _built.current_device
_module.set_device = lambda d: _built.set_device(
    d if isinstance(d, int) else torch.device(d).index or 0
)
_module._is_in_bad_fork = lambda: False
_module.manual_seed_all = lambda seed: None
_module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
_module.synchronize = lambda *device: None
torch._register_device_module("pretend", _module)
torch.utils.generate_methods_for_privateuse1_backend()

waits, sent = _built.waits, _built.sent
