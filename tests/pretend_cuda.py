"""A pretend GPU: its tensors say "cuda:0", keep their numbers on the CPU, and meet no tensor of the CPU.

No GPU has run this package's tests so far. What goes wrong on one is seldom its arithmetic: a tensor left on
the CPU, an array asked of a GPU, a wait in each step, a full memory. Those are seen here. Under
`PretendCuda`, torch believes in a device whose operations the CPU's kernels compute; it
- refuses operations between its tensors and the CPU's, and NumPy's view of them, as CUDA does;
- counts allocations, and can run out of memory at any of them;
- counts what makes a program wait for a GPU: a number or a tensor brought back, a copy that blocks, a search
  for the true elements of a mask;
- notes whether convolutions in float32 may use TF32.

With `kind="mps"` it is Apple's instead, which has no float64.
"""

import collections
import contextlib
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode

#: Operations between devices that CUDA allows.
_CROSSING = {"aten::copy_", "aten::_foreach_copy_"}
#: Operations whose result has a size that only the GPU knows.
_SEARCHES = {"aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::unique_dim"}
_ASKS = {"aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero"}
_INDEXING = {"aten::index", "aten::index_put_", "aten::_index_put_impl_", "aten::index_put"}
_present = None  # the device that is pretended; one at a time


def _each(x):
    """Yield what operands hold; torch's own way for any nesting takes as long as the operations."""
    if isinstance(x, list | tuple):
        for part in x:
            yield from _each(part)
    else:
        yield x


def tf32_is_on() -> bool:
    """Tell whether convolutions in float32 may use TF32 on a GPU."""
    dnn = torch.backends.cudnn
    return dnn.conv.fp32_precision == "tf32" if hasattr(dnn, "conv") else dnn.allow_tf32


def _mapped(f, x):
    return type(x)([_mapped(f, part) for part in x]) if isinstance(x, list | tuple) else f(x)


class OnDevice(torch.Tensor):
    """A tensor of the pretended device; `numbers` are its values, on the CPU."""

    @staticmethod
    def __new__(cls, numbers):
        how = {"strides": numbers.stride(), "storage_offset": numbers.storage_offset()}
        how |= {"dtype": numbers.dtype, "layout": numbers.layout, "device": "cpu"}
        return torch.Tensor._make_wrapper_subclass(cls, numbers.size(), **how)

    def __init__(self, numbers):
        assert not isinstance(numbers, OnDevice)
        self.numbers = numbers

    device = property(lambda self: _present.device)
    is_cuda = property(lambda self: _present.device.type == "cuda")

    def __repr__(self):
        return f"OnDevice({self.numbers!r})"

    def __array__(self, *_, **__):
        name = f"can't convert {_present.device} device type tensor to numpy"
        raise TypeError(f"{name}. Use Tensor.cpu() to copy the tensor to host memory first.")

    numpy = __array__

    def __deepcopy__(self, memo):
        twin = _present.new(self.numbers.clone()).requires_grad_(self.requires_grad)
        if getattr(self, "_is_param", False):
            twin._is_param = True
        memo[id(self)] = twin
        return twin

    def __reduce_ex__(self, protocol):  # a file holds numbers
        return self.detach().numbers.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _present.compute(func, args, dict(kwargs or {}))


class _Moves(TorchFunctionMode):
    """Take tensors to the device and back, and make new ones there."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.cuda:
            return self._to(args[0], _present.device)
        if func is torch.Tensor.cpu:
            return _present.fetch(args[0])
        if func is torch.Tensor.to:
            return self._to(*args, **kwargs)
        if func == torch.Tensor.data.__get__ and isinstance(args[0], OnDevice):
            return OnDevice(args[0].numbers)
        if func == torch.Tensor.data.__set__ and isinstance(args[0], OnDevice):
            args[0].numbers = args[1].numbers  # from here on they share them
            return None
        if _present.has(kwargs.get("device")):
            made = func(*args, **{**kwargs, "device": "cpu"})
            if isinstance(made, OnDevice):
                return made
            return _present.new(made.detach()).requires_grad_(made.requires_grad)
        return func(*args, **kwargs)

    def _to(self, x, *rest, device=None, dtype=None, non_blocking=False, memory_format=None, **_):
        for given in rest:  # (device, dtype, non_blocking), (dtype, non_blocking) or (other)
            if isinstance(given, torch.Tensor):
                device, dtype = given.device, given.dtype
            elif isinstance(given, torch.dtype):
                dtype = given
            elif isinstance(given, bool):
                non_blocking = given
            elif given is not None:
                device = given
        here = isinstance(x, OnDevice)
        there = here if device is None else _present.has(device)
        form = {} if memory_format is None else {"memory_format": memory_format}
        if here and not there:
            x = _present.fetch(x)
        elif there and not here:
            assert not (x.requires_grad and torch.is_grad_enabled()), (
                "what is learned is made there"
            )
            _present.waits += not non_blocking
            x = _present.new(x.detach().to(x.dtype if dtype is None else dtype, copy=True))
        return torch.Tensor.to(x, x.dtype if dtype is None else dtype, **form)


class PretendCuda:
    """Pretend that there is one GPU, for as long as the block lasts.

    Parameters
    ----------
    capability : tuple of int
        From (8, 0) on it has bfloat16.
    kind : str
        "cuda", or "mps", which has no float64.
    full_at : int, optional
        The number of the allocation, from 1, at which memory runs out.
    lasting : bool
        Whether it stays full from there on.
    largest : int, optional
        Bytes of the largest allocation that there is room for.

    Attributes
    ----------
    allocations, waits : int
        How many there have been.
    operations : Counter
        By name.
    tf32 : set of bool
        Whether the convolutions in float32 were free to use it.
    """

    def __init__(self, capability=(9, 0), kind="cuda", full_at=None, lasting=False, largest=None):
        self.capability, self.device = capability, torch.device(kind, 0)
        self.full_at, self.lasting, self.largest = full_at, lasting, largest
        self.allocations, self.waits = 0, 0
        self.operations, self.tf32 = collections.Counter(), set()

    def has(self, device) -> bool:
        """Tell whether what was given as a device is this one."""
        named = isinstance(device, str | torch.device)
        return named and torch.device(device).type == self.device.type

    def new(self, numbers: torch.Tensor) -> OnDevice:
        """Allocate a tensor on the device, or run out of memory."""
        self.allocations += 1
        size = numbers.numel() * numbers.element_size()
        at = self.full_at is not None and self.allocations >= self.full_at
        now = at and (self.lasting or self.allocations == self.full_at)
        if now or (self.largest is not None and size > self.largest):
            tried = f"Tried to allocate {size / 2**20:.2f} MiB"
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. {tried}. GPU 0 has a total capacity of ..."
            )
        if self.device.type == "mps" and numbers.dtype in (torch.float64, torch.complex128):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return OnDevice(numbers)

    def fetch(self, x: torch.Tensor) -> torch.Tensor:
        """Bring a tensor back to the CPU, which waits for it."""
        if not isinstance(x, OnDevice):
            return x
        self.waits += 1
        return x.detach().numbers.clone()

    def compute(self, func, args, kwargs):
        """Compute an operation that has a tensor of the device among its operands."""
        name = func._schema.name
        flat = _each([*args, *kwargs.values()])
        operands = [each for each in flat if isinstance(each, torch.Tensor)]
        self._check(name, operands)
        self.operations[name] += 1
        if "convolution" in name and operands[0].dtype == torch.float32:
            self.tf32.add(tf32_is_on())
        if self.has(kwargs.get("device")):
            kwargs["device"] = torch.device("cpu")
        if name == "aten::_conj":  # torch looks for the mark of a lazy one above this level only
            func = torch.ops.aten.conj_physical.default

        def numbers(x):
            return x.numbers if isinstance(x, OnDevice) else x

        kwargs = {key: _mapped(numbers, value) for key, value in kwargs.items()}
        made = func(*[_mapped(numbers, value) for value in args], **kwargs)
        # what is written in place is the operand itself, a view shares its memory
        same = {id(x.numbers): x for x in operands if isinstance(x, OnDevice)}
        same |= {id(x): x for x in operands if not isinstance(x, OnDevice)}
        shared = {numbers(x).untyped_storage()._cdata for x in operands}

        def of_device(x):
            if not isinstance(x, torch.Tensor):
                return x
            if id(x) in same:
                return same[id(x)]
            return OnDevice(x) if x.untyped_storage()._cdata in shared else self.new(x)

        return _mapped(of_device, made)

    def _check(self, name, operands):
        """Refuse tensors of two devices, but for those with one number; count what waits."""
        strange = [x for x in operands if not isinstance(x, OnDevice) and x.dim()]
        if name in _INDEXING and isinstance(operands[0], OnDevice):
            index = [x for x in operands[1:] if x.dtype in (torch.bool, torch.uint8, torch.long)]
            masks = any(x.dtype != torch.long for x in index)
            moved = any(x is y for x in index for y in strange)  # CUDA copies it
            self.waits += masks or moved
            strange = [x for x in strange if not any(x is y for y in index)]
        if strange and name not in _CROSSING:
            shapes = [tuple(x.shape) for x in strange]
            both = f"found at least two devices, {self.device} and cpu"
            raise RuntimeError(f"{name}: expected all tensors on the same device, {both} {shapes}")
        self.waits += name in _ASKS or name in _SEARCHES or bool(strange)

    def __enter__(self):
        global _present
        assert _present is None, "one device at a time"
        _present, self._stack = self, contextlib.ExitStack()
        real_autocast, kind = torch.autocast, self.device.type
        grouped = torch.optim.Optimizer._group_tensors_by_device_and_dtype

        def of_this_device(lists, with_indices=False):
            here = isinstance(next(_each(lists)), OnDevice)
            found = grouped(lists, with_indices).items()
            return {(self.device if here else device, dtype): v for (device, dtype), v in found}

        class autocast(real_autocast):
            def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
                mine = device_type == kind
                dtype = dtype or (torch.bfloat16 if mine else None)
                super().__init__("cpu" if mine else device_type, dtype, enabled, cache_enabled)

        class inference_mode(torch.no_grad):  # tensors of inference can't be wrapped
            def __new__(cls, mode=True):
                return super().__new__(cls) if mode else contextlib.nullcontext()

            def __init__(self, mode=True):
                super().__init__()

        found = {
            "torch.cuda.is_available": lambda: kind == "cuda",
            "torch.cuda.device_count": lambda: 1,
            "torch.cuda.get_device_capability": lambda device=None: self.capability,
            "torch.cuda.empty_cache": lambda: None,
            "torch.cuda.set_sync_debug_mode": lambda mode: None,
            "torch.cuda.is_current_stream_capturing": lambda: False,
            "torch.optim.Optimizer._accelerator_graph_capture_health_check": lambda optimizer: None,
            "torch.optim.Optimizer._group_tensors_by_device_and_dtype": staticmethod(
                of_this_device
            ),
            "torch.autocast": autocast,
            "torch.inference_mode": inference_mode,
        }
        if not hasattr(torch.optim.Optimizer, "_accelerator_graph_capture_health_check"):
            found.pop("torch.optim.Optimizer._accelerator_graph_capture_health_check")  # torch 2.6
        for name, fake in found.items():
            self._stack.enter_context(mock.patch(name, fake))
        replace = torch.__future__.set_overwrite_module_params_on_conversion
        self._stack.callback(replace, torch.__future__.get_overwrite_module_params_on_conversion())
        replace(True)
        self._stack.enter_context(_Moves())
        return self

    def __exit__(self, *error):
        global _present
        self._stack.close()
        _present = None
