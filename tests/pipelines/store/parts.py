"""The part of one URL, as those of many are chosen."""

import numpy as np

from pipelines.store.splits import choose_parts, hash_text


def find_part(url, split):
    """Return TRAIN, VALIDATION or TEST."""
    return int(choose_parts(np.array([hash_text(url)], np.uint64), split)[0])
