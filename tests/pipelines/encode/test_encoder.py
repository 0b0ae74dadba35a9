import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipelines.encode.encoder import EncoderSpec, encode
from pipelines.errors import SpaceError, UndecodableMediaError
from schemas.space import Space

SPACE = Space(
    encoder="test:sum",
    weights_sha256="0" * 64,
    library="none 0",
    preprocessing="none",
    precision="fp32",
    batch_rows=4,
    dims=3,
)


@dataclass
class Recorded:
    """A tower whose net gives back what it is given, and remembers the shapes it saw."""

    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def prepare(self, item):
        return np.asarray(item)

    def forward(self, pieces_B):
        self.shapes.append(pieces_B.shape)
        return pieces_B.astype(np.float32)


@dataclass(frozen=True)
class Counting:
    """A loader that counts how often it loads; on another machine it would find other weights."""

    weights_sha256: str = "0" * 64
    loads: list[int] = field(default_factory=list, hash=False)

    def space(self):
        return SPACE.model_copy(update={"weights_sha256": self.weights_sha256})

    def load(self):
        self.loads.append(1)
        return {"text": Recorded()}


def test_every_forward_has_one_shape():
    """Items of one and several pieces fill batches of exactly the given size, the last one too."""
    tower = Recorded()
    pieces = [np.ones((count, 3)) for count in (1, 4, 2, 3)]

    encode(tower, pieces, 4)

    assert [(4, 3)] * 3 == tower.shapes


def test_pieces_are_averaged_as_unit_vectors():
    """A loud piece does not outvote a quiet one, and the norm says how far the pieces agree."""
    pieces = [np.array([[3.0, 0, 0]]), np.array([[10.0, 0, 0], [0, 1.0, 0]])]

    unit_ND, norms_N = encode(Recorded(), pieces, 4)

    np.testing.assert_allclose([[1, 0, 0], [0.5**0.5, 0.5**0.5, 0]], unit_ND, rtol=1e-6)
    np.testing.assert_allclose([3, 0.5**0.5], norms_N, rtol=1e-6)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf], ids=["zeros", "nan", "inf"])
def test_a_vector_without_direction_spoils_no_other(bad):
    """Its norm gives it away, and its neighbours are what they would be without it."""
    good = np.array([[3.0, 4, 0]])

    unit_ND, norms_N = encode(Recorded(), [good, np.full((1, 3), bad), good], 2)

    assert [True, False, True] == [bool(np.isfinite(norm) and norm > 0) for norm in norms_N]
    np.testing.assert_allclose([[0.6, 0.8, 0]] * 2, unit_ND[[0, 2]], rtol=1e-6)


def test_weights_are_loaded_once_a_process():
    """Stages that open one encoder from several threads share it."""
    loader = Counting()
    towers = []
    threads = [
        threading.Thread(target=lambda: towers.append(EncoderSpec(SPACE, loader).open())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(loader.loads) == 1
    assert all(each is towers[0] for each in towers)


def test_other_weights_on_a_worker_are_refused():
    """A worker that would load something else than the driver saw says what differs."""
    with pytest.raises(SpaceError, match="weights_sha256 1111"):
        EncoderSpec(SPACE, Counting(weights_sha256="1" * 64)).open()


def test_a_reason_outside_the_closed_list_is_a_mistake():
    """Towers cannot invent outcomes."""
    with pytest.raises(ValueError, match="not an outcome"):
        UndecodableMediaError("ugly")
