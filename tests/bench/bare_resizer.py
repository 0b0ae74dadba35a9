"""img2dataset's Resizer as it is, over and over, with nothing around it; prints its pictures a second.

python tests/bench/bare_resizer.py ROWS
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

from img2dataset.resizer import Resizer

sys.path.insert(0, str(Path(__file__).parent))
from web import DISTINCT, pictures

if __name__ == "__main__":
    rows = int(sys.argv[1])
    whole = pictures()
    resize = Resizer(256, "keep_ratio", resize_only_if_bigger=False)
    for body in whole:
        resize(io.BytesIO(body))
    input()  # so that several begin together
    begun = time.perf_counter()
    for row in range(rows):
        resize(io.BytesIO(whole[row % DISTINCT]))
    print(rows / (time.perf_counter() - begun))
