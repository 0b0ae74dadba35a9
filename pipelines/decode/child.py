"""What runs in a child process that decodes pictures: one file after the other, until its input ends.

It is started by the path of this file, and imports nothing of ours: so it starts in 0.2 s and takes 60 MB.

    request   how (`o` OpenCV, `p` Pillow), length of the file in 8 bytes, the file
    response  a line of JSON, {"dtype", "shape"} or {"reason"}, and the pixels

The kernel ends it when a picture takes more CPU time or memory than it may.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from contextlib import suppress
from typing import BinaryIO

import cv2
import numpy as np


def decode_with_opencv(data: bytes) -> np.ndarray:
    """Return pixels as OpenCV gives them, of one to four channels and any depth."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("undecodable")
    return image


def decode_with_pillow(data: bytes, max_pixels: int) -> np.ndarray:
    """Return pixels as Pillow gives them, uint8 [H, W, 3]."""
    import io

    from PIL import Image

    formats = ("WEBP", "PNG", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM", "BMP")
    with Image.open(io.BytesIO(data), formats=formats) as image:
        if image.width * image.height > max_pixels:
            raise Image.DecompressionBombError
        return np.asarray(image.convert("RGB"))


def explain(error: BaseException) -> str:
    """Return the reason of a picture that was not decoded."""
    if "MAX_IMAGE" in str(error) or type(error).__name__ == "DecompressionBombError":
        return "too_many_pixels"
    is_memory = isinstance(error, MemoryError) or getattr(error, "code", 0) == cv2.Error.StsNoMem
    return "too_complex" if is_memory else "undecodable"


def limit_cpu(cpu_s: int) -> None:
    """Let this process be ended once it has worked for so much longer."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + cpu_s, hard))


def limit_memory(most_bytes: int) -> None:
    """Let allocations fail once there are so many bytes more than now."""
    with suppress(OSError, ValueError), open("/proc/self/statm") as file:  # noqa: PTH123 - starts sooner
        now = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + most_bytes, now + most_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # It writes no file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def answer(requests: BinaryIO, responses: BinaryIO, max_pixels: int, cpu_s: int) -> bool:
    """Answer one request; return whether there was one."""
    header = requests.read(9)
    if len(header) < 9:
        return False
    data = requests.read(int.from_bytes(header[1:]))
    limit_cpu(cpu_s)
    try:
        pixels = decode_with_opencv(data) if header[:1] == b"o" else decode_with_pillow(data, max_pixels)
    except Exception as error:  # decoders raise anything on bytes made to break them
        responses.write(json.dumps({"reason": explain(error)}).encode() + b"\n")
    else:
        whole = np.ascontiguousarray(pixels)
        responses.write(json.dumps({"dtype": whole.dtype.name, "shape": whole.shape}).encode() + b"\n")
        responses.write(whole.data.cast("B"))
    responses.flush()
    return True


def main(max_pixels: int, cpu_s: int, most_bytes: int) -> None:
    """Answer requests until the parent closes the pipe or ends."""
    # What libraries print belongs elsewhere than among responses.
    responses = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    cv2.setNumThreads(1)
    limit_memory(most_bytes)
    responses.write(b"ready\n")
    responses.flush()
    while answer(sys.stdin.buffer, responses, max_pixels, cpu_s):
        pass


if __name__ == "__main__":
    main(*(int(number) for number in sys.argv[1:]))
