"""The sound of a scene: its events one after the other, in a room, over a background.

`count` things are heard as `count` events, again and again, with a pause after each group; `pitch`
moves the voice; `background` chooses the noise behind. Loudness against that noise, the room's echoes
and the tone of the whole vary from scene to scene, so that a mean spectrum says little about the kind.
"""

from __future__ import annotations

import numpy as np

from pipelines.miniature.tones import SAMPLE_RATE, Wave, band, hiss, low, seconds, sine, tone, wave
from pipelines.miniature.voices import VOICES
from pipelines.miniature.world import Scene

__all__ = ["SAMPLE_RATE", "once", "sound"]

# Two thirds of an octave between neighbours: more than a voice's own spread of about a quarter.
_PITCH = {"low": 0.65, "middle": 1.0, "high": 1.55}
_GROUP_S = (2.5, 5.0)
_LONGEST_SLOT_S = 1.4
_SNR_DB = (4.0, 20.0)
_TILT_DB = (-9.0, 9.0)
_PEAK_DBFS = (-20.0, -1.0)
_ECHOES_S = (0.011, 0.023, 0.041, 0.067, 0.097)
_LOUDEST_S = 0.02


def sound(scene: Scene, length_s: float = 10.0) -> Wave:
    """Return the sound of a scene; the same scene and length always sound the same.

    Args:
        scene: what is heard.
        length_s: of the whole sound; from about 0.5 s on it holds a whole group of events.

    Returns:
        float32 [T] in [-1, 1], mono at 48,000 Hz, T = round(48,000 * length_s).
    """
    rng = scene.rng("sound")
    times = seconds(length_s)
    return _mix(_repeat_event(scene, rng, times), scene, rng, times)


def once(scene: Scene, length_s: float = 10.0) -> tuple[Wave, float, float]:
    """Return a sound in which one event of a scene is heard once, and from when to when.

    Args:
        scene: what is heard; its `count` is not.
        length_s: of the whole sound, over 2 s.

    Returns:
        float32 [T] as `sound` returns it, and the start and the end of the event in seconds.
    """
    rng = scene.rng("once")
    times = seconds(length_s)
    pitch = _PITCH[scene.pitch] * rng.uniform(0.92, 1.08)
    event = VOICES[scene.kind](rng, pitch, 0.9 * _LONGEST_SLOT_S)
    start = int(rng.integers(0, len(times) - len(event)))
    alone = np.zeros_like(times)
    alone[start : start + len(event)] = event
    heard = _mix(alone, scene, rng, times)
    return heard, start / SAMPLE_RATE, (start + len(event)) / SAMPLE_RATE


def _mix(events: Wave, scene: Scene, rng: np.random.Generator, times: Wave) -> Wave:
    """Return events in a room, over the noise of their place."""
    events = _add_echoes(events, rng)
    behind = _make_background(scene.background, rng, times)
    level = _to_gain(-rng.uniform(*_SNR_DB))
    mix = events / _measure_loudness(events) + behind / _measure_loudness(behind) * level
    mix = _tilt(mix, rng.uniform(*_TILT_DB))
    return wave(mix * (_to_gain(rng.uniform(*_PEAK_DBFS)) / np.abs(mix).max()))


def _to_gain(level_db: float) -> np.float32:
    return np.float32(10 ** (level_db / 20))


def _measure_loudness(source: Wave) -> np.float32:
    """Return the RMS of the loudest 20 ms, so that a tick counts as much as a drone."""
    frame = min(round(_LOUDEST_S * SAMPLE_RATE), len(source))
    frames = source[: len(source) // frame * frame].reshape(-1, frame)
    return np.float32(np.sqrt(np.square(frames).mean(axis=1).max()) + 1e-9)


def _repeat_event(scene: Scene, rng: np.random.Generator, times: Wave) -> Wave:
    """Return groups of `count` events with a pause after each group."""
    length_s = len(times) / SAMPLE_RATE
    group_s = min(rng.uniform(*_GROUP_S), length_s)
    # A pause of two thirds of a slot separates one group from the next.
    slot_s = min(group_s / (scene.count + 0.66), _LONGEST_SLOT_S)
    pitch = _PITCH[scene.pitch] * rng.uniform(0.92, 1.08)
    events = [VOICES[scene.kind](rng, pitch, 0.9 * slot_s) for _ in range(scene.count)]
    total = np.zeros_like(times)
    for group in np.arange(rng.uniform(0, 0.3) * slot_s, length_s, group_s):
        for number, event in enumerate(events):
            start = round((group + (number + rng.uniform(0, 0.08)) * slot_s) * SAMPLE_RATE)
            part = total[start : start + len(event)]
            part += event[: len(part)] * (_to_gain(rng.uniform(-4, 0)) / _measure_loudness(event))
    return total


def _add_echoes(source: Wave, rng: np.random.Generator) -> Wave:
    """Return a wave in a room: every pass doubles the paths of the sound, 32 in the end."""
    amount = rng.uniform(0.0, 0.5)
    for reach_s in _ECHOES_S:
        delay = round(reach_s * rng.uniform(0.7, 1.3) * SAMPLE_RATE)
        late = np.float32(amount * rng.choice([-1, 1])) * source[:-delay]
        source[delay:] += late
    return source


def _tilt(source: Wave, tilt_db: float) -> Wave:
    """Return a wave with its trebles (above 1 kHz) raised by `tilt_db`."""
    deep = low(source, 1000)
    return deep + (source - deep) * _to_gain(tilt_db)


def _make_background(background: str, rng: np.random.Generator, times: Wave) -> Wave:
    """Return the noise of a place."""
    air = hiss(rng, times)
    if background == "meadow":
        return band(low(air, 700), rng.uniform(250, 500), 0.7) * _make_gusts(rng, times)
    if background == "beach":
        return low(air, rng.uniform(1200, 2500)) * _make_gusts(rng, times)
    if background == "street":
        hum_hz = rng.uniform(70, 110)
        return low(low(air, 300), 900) + 0.05 * (tone(hum_hz, times) + tone(2 * hum_hz, times))
    if background == "night":
        return low(air, 150) + 0.03 * air
    if background == "room":
        return wave(low(air, 450) + 0.06 * tone(100, times) + 0.02 * air)
    return air - 0.7 * low(air, 3000)


def _make_gusts(rng: np.random.Generator, times: Wave) -> Wave:
    """Return an envelope that comes and goes every 3 to 10 s."""
    return 1 + 0.7 * sine(times * np.float32(rng.uniform(0.1, 0.3)) + np.float32(rng.random()))
