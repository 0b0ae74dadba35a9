"""How the data flow. A folder is a step, a file is one way of doing it; `FLOW` is the order."""

import os

# OpenCV reads it once, when it is imported: the most pixels that its decoders give room to. It is
# pipelines.decode.budget.MOST_PIXELS, which no picture exceeds.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "178956970")

FLOW = ("source", "fetch", "filter", "encode", "index", "lookup", "translate", "generate", "evaluate")
