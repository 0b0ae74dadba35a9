"""What the nets run on: threads of a CPU, or streams of a GPU, with its copies hidden behind its work."""

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

# Batches in flight on one GPU: while one computes, the next is copied there and the last one back.
_ON_GPU = 2

# A batch in flight holds its activations, 200 MB for 32 pictures of a ViT-L-14 in fp32.
_MOST = 16


class _OneCoreEach(ThreadPoolExecutor):
    """Threads whose tasks compute on one core each."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Start a task as soon as a thread is free."""
        # At every task: a thread may have begun before there was a torch to tell.
        return super().submit(_alone_on_its_core, fn, *args, **kwargs)


class ForwardPool:
    """Forwards that run side by side.

    On a CPU each has a core of its own and its nets use that one alone. Two forwards of one thread each do
    as much as one of two threads (ViT-B-32, two cores: 162 images/s against 154 in bf16, 36 against 29 in
    fp32), no thread spins while it waits for its twin, and a vector cannot depend on the number of cores:
    in bf16 one thread and two differ in the last digit.
    """

    def __init__(self, pool: ThreadPoolExecutor, count: int) -> None:
        self._pool = pool
        # One batch may be ready while the lanes are busy; whoever makes more of them waits.
        self._free = threading.Semaphore(count + 1)

    def run(self, forward: Callable[[], None]) -> Future[None]:
        """Start a forward as soon as there is room for it."""
        self._free.acquire()
        started = self._pool.submit(forward)
        started.add_done_callback(lambda _: self._free.release())
        return started


@lru_cache(maxsize=1)
def get_forward_pool() -> ForwardPool:
    """Return the lanes of this process: all its nets share them."""
    if _has_gpu():
        return ForwardPool(
            ThreadPoolExecutor(_ON_GPU, thread_name_prefix="forward", initializer=_enter), _ON_GPU
        )
    # Beside decoding, not against it: a thread that is pushed off its core finds its caches empty.
    return ForwardPool(get_decode_pool(), min(cpu.count_cpus(), _MOST))


def get_decode_pool(threads: int | None = None) -> ThreadPoolExecutor:
    """Return the threads of this process that decode, as many as it has cores if not told."""
    return _decoders(threads or cpu.count_cpus())


@lru_cache
def _decoders(threads: int) -> ThreadPoolExecutor:
    return _OneCoreEach(threads, thread_name_prefix="compute")


def choose_device() -> torch.device:
    """Return where the nets are: the GPU if there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def get_dtype(precision: Precision) -> torch.dtype:
    """Return torch's word for a precision."""
    import torch

    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    return dtypes[precision]


def move_to_device(pieces_B: np.ndarray, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Return a batch where the nets are, in the dtype of its net.

    To a GPU it goes through pinned memory, so that the copy runs beside the forward of another stream; the
    dtype changes there, since a change on the way would copy from memory that is not pinned.
    """
    import torch

    batch = torch.from_numpy(pieces_B)
    there = choose_device()
    if there.type == "cuda":
        return batch.pin_memory().to(there, non_blocking=True).to(dtype=dtype or batch.dtype)
    return batch.to(there, dtype)


def settle() -> None:
    """Wait until weights are where they were sent: a stream does not wait for the one that sent them."""
    if _has_gpu():
        import torch

        torch.cuda.synchronize()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether a GPU had no room for a batch; what is kept for later batches is given back."""
    if "torch" not in sys.modules:
        return False
    import torch

    if not isinstance(error, torch.OutOfMemoryError):
        return False
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return True


def _has_gpu() -> bool:
    # Without torch there is no net that could want one.
    if "torch" not in sys.modules:
        return False
    import torch

    return torch.cuda.is_available()


def _alone_on_its_core(task: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    # torch keeps this number for each thread.
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    return task(*args, **kwargs)


def _enter() -> None:
    """Begin a thread that feeds a GPU."""
    import torch

    torch.set_num_threads(1)
    torch.cuda.set_stream(torch.cuda.Stream())  # type: ignore[no-untyped-call]
