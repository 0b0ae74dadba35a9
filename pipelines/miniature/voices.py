"""The voices of the miniature world's things: kind, pitch and length -> one event of sound.

Every voice is `(rng, pitch, length_s) -> wave`: about `length_s` long and of any loudness, which the
mix sets. `pitch` multiplies the voice's frequencies; 1 is the middle.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.miniature.tones import (
    SAMPLE_RATE,
    Wave,
    along,
    band,
    click,
    cycles,
    fading,
    hiss,
    low,
    partials,
    scatter,
    seconds,
    sine,
    swell,
    tone,
    wave,
)

Voice = Callable[[np.random.Generator, float, float], Wave]


def _bell(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.74, 4.07])
    gains = np.array([0.5, 1.0, 0.7, 0.5, 0.8, 0.5, 0.3]) * rng.uniform(0.6, 1.3, len(ratios))
    strike_hz = 620 * pitch * rng.uniform(0.9, 1.1)
    ring_s = rng.uniform(0.35, 0.9) / np.sqrt(ratios)
    return partials(seconds(length_s + 0.4), strike_hz * ratios, gains, ring_s)


def _rain(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(length_s)
    fine = band(hiss(rng, times), 2600 * pitch, 0.4)
    drops = hiss(rng, times) * (rng.random(len(times), dtype=np.float32) < 90 / SAMPLE_RATE)
    return (fine + 9 * band(wave(drops), 1700 * pitch, 3)) * swell(times, 0.3, 0.4)


def _siren(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(length_s)
    turn = np.sin(np.pi * along(times)).clip(0) ** 0.8
    phase = cycles(pitch * rng.uniform(380, 480) * (1 + rng.uniform(1.0, 1.5) * turn))
    howl = sine(phase) + 0.5 * sine(phase, 2) + 0.35 * sine(phase, 3)
    return wave(howl * swell(times, 0.08, 0.08))


def _bird(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    onsets_s = np.arange(0, max(length_s - 0.1, 0.05), rng.uniform(0.11, 0.17))
    turn, start_hz = rng.choice([-0.35, 0.45]), 2900 * pitch * rng.uniform(0.85, 1.2)
    chirps = []
    for _ in onsets_s:
        place = along(seconds(rng.uniform(0.05, 0.09)))
        chirp = sine(cycles(start_hz * rng.uniform(0.92, 1.08) * (1 + turn * place**2)))
        chirps.append(wave(chirp * np.sin(np.pi * place)))
    return scatter(seconds(length_s), onsets_s, chirps)


def _clock(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    tick_hz = 2100 * pitch * rng.uniform(0.85, 1.15)
    gap_s = min(rng.uniform(0.2, 0.3), length_s / 2)
    parts = [click(rng, tick_hz * ratio, 9, 0.004) for ratio in (1.0, 2.3, 0.72, 1.7)]
    return scatter(seconds(length_s), [0, 0, gap_s, gap_s], parts)


def _drum(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(min(length_s, 0.6))
    phase = cycles(pitch * rng.uniform(95, 125) * (1 + 1.2 * fading(times, 0.03)))
    skin = sine(phase) * fading(times, rng.uniform(0.09, 0.2))
    return skin + 0.5 * band(hiss(rng, times), 1900 * pitch, 0.6) * fading(times, 0.06)


def _throat(
    rng: np.random.Generator, frequency_hz: Wave, formants_hz: tuple[float, ...], breath: float
) -> Wave:
    """Return a buzz of the vocal cords through the resonances of a throat."""
    cords = 2 * cycles(frequency_hz) - 1 + breath * hiss(rng, frequency_hz)
    voiced = np.zeros_like(cords)
    for formant_hz in formants_hz:
        voiced += band(cords, formant_hz, 5)
    return voiced


def _dog(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(min(length_s, rng.uniform(0.18, 0.3)))
    place = along(times)
    falling = 1.1 - 0.6 * (place - 0.25) ** 2 - 0.3 * place
    size = pitch**0.7
    formants_hz = (700 * size, 1300 * size, 2500 * size)
    bark = _throat(rng, wave(pitch * rng.uniform(260, 340) * falling), formants_hz, 0.35)
    return bark * swell(times, 0.08, 0.6)


def _cat(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(min(max(length_s, 0.4), rng.uniform(0.6, 1.0)))
    arch = wave(np.sin(np.pi * along(times) ** 0.6))
    frequency_hz = wave(pitch * rng.uniform(380, 470) * (1 + 0.55 * arch))
    frequency_hz *= 1 + 0.015 * tone(6, times)
    size = pitch**0.6
    closed = _throat(rng, frequency_hz, (500 * size, 2400 * size), 0.05)
    wide = _throat(rng, frequency_hz, (1000 * size, 1700 * size), 0.05)
    return (closed + (wide - closed) * arch) * swell(times, 0.2, 0.35)


def _frog(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    pulses_s = np.arange(0, 0.42, 1 / rng.uniform(38, 55))
    pulses_s = pulses_s[(pulses_s < 0.16) | (pulses_s > 0.22)]
    croak_hz = 620 * pitch * rng.uniform(0.85, 1.15)
    pulse = partials(seconds(0.03), [croak_hz, croak_hz * 2.2], [1, 0.5], [0.006, 0.004])
    grains = [pulse if pulse_s > 0.2 else 0.5 * pulse for pulse_s in pulses_s]
    return scatter(seconds(min(length_s, 0.5)), pulses_s, grains)


def _cricket(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(min(length_s, 0.7))
    carrier = tone(4100 * pitch**0.6 * rng.uniform(0.92, 1.08), times)
    strokes = tone(rng.uniform(26, 34), times).clip(0) ** 2
    chirps = (times * rng.uniform(4.2, 5.5)) % 1 < 0.68
    return wave(carrier * strokes * chirps)


def _bee(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(length_s)
    drift = sine(times * np.float32(rng.uniform(0.7, 2.0)) + np.float32(rng.random()))
    jitter = 0.5 * low(hiss(rng, times), 25)
    phase = cycles(pitch * rng.uniform(170, 215) * (1 + 0.09 * drift + jitter))
    wings = low(2 * phase - 1, 1800 * pitch) * (1 + 0.3 * sine(phase))
    return wings * swell(times, 0.35, 0.4)


def _train(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    onsets_s = np.arange(0, max(length_s - 0.12, 0.01), 1 / rng.uniform(5.0, 7.0))
    chuffs = []
    for step, _ in enumerate(onsets_s):
        puff = seconds(0.15)
        chuff = band(hiss(rng, puff), 700 * pitch, 0.7) * swell(puff, 0.15, 0.8)
        clack = click(rng, 330 * pitch, 8, 0.006)
        chuff[: len(clack)] += 0.7 * clack
        chuffs.append(chuff * np.float32(1.0 if step % 4 == 0 else 0.6))
    return scatter(seconds(length_s), onsets_s, chuffs)


def _helicopter(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(length_s)
    turn = (times * rng.uniform(11.5, 15.0)) % 1
    blade = np.exp(-5 * turn) * np.minimum(1, turn * 12)
    thump = 4 * low(low(hiss(rng, times), 420 * pitch), 900 * pitch)
    return wave(thump * blade + 0.05 * tone(2300 * pitch, times)) * swell(times, 0.25, 0.3)


def _wave(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(length_s + 0.3)
    place, crest = along(times), rng.uniform(0.45, 0.65)
    height = np.where(place < crest, (place / crest) ** 2, ((1 - place) / (1 - crest)) ** 1.5)
    water = hiss(rng, times)
    body, spray = low(low(water, 500 * pitch), 500 * pitch), band(water, 1900 * pitch, 0.5)
    return wave(2 * body * np.sqrt(height) + spray * height**2)


def _fire(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(length_s)
    onsets_s = np.sort(rng.uniform(0, max(length_s - 0.03, 0.01), max(4, int(26 * length_s))))
    snaps = [click(rng, snap_hz * pitch, 2.5, 0.0025) for snap_hz in rng.uniform(1100, 4200, 6)]
    grains = [
        snaps[int(rng.integers(len(snaps)))] * np.float32(0.15 + rng.exponential(0.8)) for _ in onsets_s
    ]
    roar = 1.5 * low(low(hiss(rng, times), 260), 400) * swell(times, 0.3, 0.3)
    return scatter(times, onsets_s, grains) + roar


def _thunder(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(length_s + 0.5)
    rolls = fading(times, 0.22)
    for onset_s in rng.uniform(0.1, max(length_s, 0.2), 3):
        roll = fading((times - np.float32(onset_s)).clip(0), 0.22) * (times >= onset_s)
        rolls += np.float32(rng.uniform(0.5, 1.0)) * roll
    rumble = 7 * low(low(hiss(rng, times), 130 * pitch), 260 * pitch)
    crack = rng.uniform(0.3, 0.9) * band(hiss(rng, times), 1500 * pitch, 0.4) * fading(times, 0.04)
    return wave(rumble * rolls + crack)


def _phone(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(min(length_s, 0.8))
    warble = np.where((times * rng.uniform(15, 19)) % 1 < 0.5, 1.0, 1.26)
    phase = cycles(880 * pitch * rng.uniform(0.9, 1.1) * warble)
    return wave((sine(phase) + 0.4 * sine(phase, 2) + 0.3 * sine(phase, 3)) * swell(times, 0.03, 0.05))


def _whistle(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(min(length_s, 0.6))
    pea = tone(rng.uniform(32, 44), times)
    phase = cycles(2350 * pitch * rng.uniform(0.9, 1.1) * (1 + 0.045 * pea))
    breath = band(hiss(rng, times), 2600 * pitch, 2)
    return wave((sine(phase) * (1 + 0.5 * pea) + 0.4 * breath) * swell(times, 0.06, 0.1))


def _string(rng: np.random.Generator, frequency_hz: float, length_s: float) -> Wave:
    """Return a plucked string (Karplus and Strong 1983), one turn of the delay line at a time."""
    period = round(SAMPLE_RATE / frequency_hz)
    string = np.empty(max(period + 1, round(length_s * SAMPLE_RATE)), np.float32)
    string[: period + 1] = low(wave(rng.uniform(-1, 1, period + 1)), 5000)
    for start in range(period + 1, len(string), period):
        end = min(start + period, len(string))
        older = string[start - period - 1 : end - period]
        np.multiply(older[1:] + older[:-1], np.float32(0.498), out=string[start:end])
    return string


def _guitar(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    root_hz = 175 * pitch * rng.uniform(0.9, 1.12)
    strings = [_string(rng, root_hz * ratio, length_s + 0.2) for ratio in (1.0, 1.26, 1.5)]
    return scatter(seconds(length_s + 0.3), [0.0, 0.09, 0.18], strings)


def _piano(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    number = np.arange(1, 8)
    # Strings are stiff: partial n lies above n times the root.
    frequencies_hz = 262 * pitch * rng.uniform(0.85, 1.19) * number * np.sqrt(1 + 4e-4 * number**2)
    decays_s = rng.uniform(0.35, 0.6) / number**0.6
    note = partials(seconds(length_s + 0.3), frequencies_hz, 1 / number**1.1, decays_s)
    hammer = click(rng, 900 * pitch, 1.5, 0.006)
    note[: len(hammer)] += 0.4 * hammer
    note[:96] *= np.linspace(0, 1, 96, dtype=np.float32)
    return note


def _flute(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(max(length_s, 0.4))
    root_hz = 520 * pitch * rng.uniform(0.9, 1.12)
    step = np.where(along(times) < rng.uniform(0.4, 0.6), 1.0, rng.choice([0.84, 1.19]))
    phase = cycles(root_hz * step * (1 + 0.012 * tone(rng.uniform(4.5, 5.5), times)))
    breath = band(hiss(rng, times), root_hz * 2.5, 1.0)
    blown = sine(phase) + 0.35 * sine(phase, 2) + 0.1 * sine(phase, 3) + 0.35 * breath
    return wave(blown * swell(times, 0.18, 0.25))


def _door(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(max(length_s, 0.45))
    slam_s = min(rng.uniform(0.22, 0.4), 0.6 * float(times[-1]))
    # A hinge sticks and slips, ever faster until the leaf hits the frame and the latch falls in.
    slips_s = np.cumsum(np.geomspace(0.03, 0.008, 30) * rng.uniform(0.8, 1.2, 30))
    slips_s = slips_s[slips_s < slam_s - 0.03]
    creak = 0.8 * click(rng, 900 * pitch * rng.uniform(0.85, 1.2), 6, 0.004)
    wood_hz = 120 * pitch * rng.uniform(0.85, 1.15)
    after = seconds(0.4)
    leaf = partials(after, wood_hz * np.array([1, 1.7, 2.9]), [1, 0.8, 0.5], [0.07, 0.05, 0.03])
    leaf += 0.8 * low(hiss(rng, after), 1500 * pitch) * fading(after, 0.03)
    latch = click(rng, 2600 * pitch, 4, 0.004)
    grains = [*[creak] * len(slips_s), leaf, latch]
    return scatter(times, [*slips_s, slam_s, slam_s + 0.06], grains)


def _typewriter(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    gaps_s = rng.uniform(0.07, 0.15, max(3, int(length_s / 0.11)))
    onsets_s = np.cumsum(gaps_s) - gaps_s[0]
    onsets_s = onsets_s[onsets_s < length_s - 0.05]
    strokes = []
    for _ in onsets_s:
        stroke = 0.8 * click(rng, 420 * pitch, 3, 0.008)
        key = click(rng, rng.uniform(1500, 2900) * pitch, 2.0, 0.005)
        stroke[: len(key)] += key
        strokes.append(stroke * np.float32(rng.uniform(0.6, 1.0)))
    return scatter(seconds(length_s), onsets_s, strokes)


def _horn(rng: np.random.Generator, pitch: float, length_s: float) -> Wave:
    times = seconds(min(length_s, rng.uniform(0.35, 0.7)))
    root_hz = 370 * pitch * rng.uniform(0.92, 1.1)
    reeds = wave((times * root_hz) % 1 + (times * root_hz * 1.26) % 1 - 1)
    return (band(reeds, 1400 * pitch, 0.8) + 0.4 * low(reeds, 800)) * swell(times, 0.04, 0.06)


VOICES: dict[str, Voice] = {
    "bell": _bell, "rain": _rain, "siren": _siren, "bird": _bird, "clock": _clock, "drum": _drum,
    "dog": _dog, "cat": _cat, "frog": _frog, "cricket": _cricket, "bee": _bee, "train": _train,
    "helicopter": _helicopter, "wave": _wave, "fire": _fire, "thunder": _thunder, "phone": _phone,
    "whistle": _whistle, "guitar": _guitar, "piano": _piano, "flute": _flute, "door": _door,
    "typewriter": _typewriter, "horn": _horn,
}  # fmt: skip
