"""What nets run on: threads of a CPU, or streams of a GPU that overlap copies with computation."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pipelines.compute import cpu
from schemas.space import Precision

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

# Batches in flight on one GPU: one computes while the next is copied in and the last one out.
_GPU_BATCHES = 2

# A batch in flight holds its activations, 200 MB for 32 pictures of a ViT-L-14 in fp32.
_MAX_CPU_BATCHES = 16


class _SingleThreadedPool(ThreadPoolExecutor):
    """A thread pool whose tasks compute on one core each."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Start a task as soon as a thread is free."""
        # Set for every task: a thread may have started before torch was imported.
        return super().submit(_run_on_one_core, fn, *args, **kwargs)


class ForwardPool:
    """Runs forward passes in parallel.

    On a CPU each forward has one core and its nets use that core alone. Two forwards of one thread each are
    no slower than one of two threads (ViT-B-32, two cores: 162 images/s against 154 in bf16, 36 against 29
    in fp32), no thread spins while it waits for another, and a vector does not depend on the number of
    cores: in bf16 one thread and two differ in the last digit.
    """

    def __init__(self, pool: ThreadPoolExecutor, count: int) -> None:
        self._pool = pool
        # One batch may be ready while all threads are busy; `run` blocks beyond that.
        self._free = threading.Semaphore(count + 1)

    def run(self, forward: Callable[[], None]) -> Future[None]:
        """Start a forward; block while too many are in flight."""
        self._free.acquire()
        started = self._pool.submit(forward)
        started.add_done_callback(lambda _: self._free.release())
        return started


@lru_cache(maxsize=1)
def get_forward_pool() -> ForwardPool:
    """Return the pool of this process; all its nets share it."""
    if _has_gpu():
        return ForwardPool(
            ThreadPoolExecutor(_GPU_BATCHES, thread_name_prefix="forward", initializer=_init_gpu_thread),
            _GPU_BATCHES,
        )
    # The same threads decode: with more threads than cores, a preempted one finds its caches empty.
    return ForwardPool(get_decode_pool(), min(cpu.count_cpus(), _MAX_CPU_BATCHES))


def get_decode_pool(threads: int | None = None) -> ThreadPoolExecutor:
    """Return the decoding threads of this process, by default as many as it has cores."""
    return _make_decode_pool(threads or cpu.count_cpus())


@lru_cache
def _make_decode_pool(threads: int) -> ThreadPoolExecutor:
    return _SingleThreadedPool(threads, thread_name_prefix="compute")


def choose_device() -> torch.device:
    """Return the device of all nets: the GPU if there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def get_dtype(precision: Precision) -> torch.dtype:
    """Return the torch dtype of a precision."""
    import torch

    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return dtypes[precision]


def move_to_device(pieces_B: np.ndarray, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Return a batch on the device of the nets, in the dtype of its net.

    A batch for a GPU is pinned, so that its copy overlaps the forward of another stream; the dtype is changed
    on the GPU, since a conversion before it would copy from memory that is not pinned.
    """
    import torch

    batch = torch.from_numpy(pieces_B)
    device = choose_device()
    if device.type == "cuda":
        return batch.pin_memory().to(device, non_blocking=True).to(dtype=dtype or batch.dtype)
    return batch.to(device, dtype)


def settle() -> None:
    """Wait until weights have arrived on the GPU: other streams do not wait for their copy."""
    if _has_gpu():
        import torch

        torch.cuda.synchronize()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether a GPU had no memory for a batch; if so, empty its cache."""
    if "torch" not in sys.modules:
        return False
    import torch

    if not isinstance(error, torch.OutOfMemoryError):
        return False
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return True


def _has_gpu() -> bool:
    # Without torch there is no net that could use it.
    if "torch" not in sys.modules:
        return False
    import torch

    return torch.cuda.is_available()


def _run_on_one_core(task: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    # torch keeps this number per thread.
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    return task(*args, **kwargs)


def _init_gpu_thread() -> None:
    """Give a thread that feeds a GPU its own stream."""
    import torch

    torch.set_num_threads(1)
    torch.cuda.set_stream(torch.cuda.Stream())  # type: ignore[no-untyped-call]
