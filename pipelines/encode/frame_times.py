"""When the four frames of a clip are shown.

Frame n is what the video shows in the middle of quarter n (pipelines/fetch/video/ffmpeg.py): at (n + 0.5) / 4
of the length of the clip, which is the one that its list gives, or that of its sound where the list gives
none.

Shapes: N clips, F frames of a clip.
"""

from __future__ import annotations

import numpy as np

from schemas.sample import FRAMES

# The second of four: of an odd or unknown middle the earlier one, as `encode.segment: middle` takes it.
_SECOND = 1


def find_nearest_frames(middles_s_N: np.ndarray, lengths_s_N: np.ndarray) -> np.ndarray:
    """Return the frame that is shown nearest to a time, int8 [N]; of two equally near the earlier one.

    Args:
        middles_s_N: seconds from the start of the clip; NaN gives the second frame.
        lengths_s_N: of the clips, in seconds.
    """
    quarters_N = middles_s_N * len(FRAMES) / lengths_s_N
    # A time on the border of two quarters is equally far from both of their middles.
    frames_N = np.ceil(quarters_N) - 1
    nearest: np.ndarray = np.nan_to_num(frames_N, nan=_SECOND).clip(0, len(FRAMES) - 1).astype(np.int8)
    return nearest


def compute_frame_times(length_s: float) -> np.ndarray:
    """Return when the frames of a clip are shown, in seconds, float64 [F]."""
    times_s_F: np.ndarray = (np.arange(len(FRAMES)) + 0.5) / len(FRAMES) * length_s
    return times_s_F


def find_frames_inside(start_s: float, end_s: float, length_s: float) -> list[int]:
    """Return the frames that are shown within a part of a clip; the nearest to its middle if none is.

    Args:
        start_s: of the part, in seconds of the clip.
        end_s: of the part.
        length_s: of the clip.
    """
    times_s_F = compute_frame_times(length_s)
    inside = np.flatnonzero((times_s_F >= start_s) & (times_s_F <= end_s))
    if len(inside):
        return [int(frame) for frame in inside]
    return [int(find_nearest_frames(np.array([(start_s + end_s) / 2]), np.array([length_s]))[0])]
