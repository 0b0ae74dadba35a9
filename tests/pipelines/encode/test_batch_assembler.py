import time

import numpy as np
import pytest

from pipelines.encode.batch_assembler import BatchAssembler


class Doubling:
    """A net that doubles, remembers the shapes it saw, and has room for so many rows."""

    def __init__(self, room=99, fails=False, seconds=0.0):
        self.room, self.fails, self.seconds = room, fails, seconds
        self.shapes = []

    def forward(self, pieces_B):
        import torch

        time.sleep(self.seconds)
        self.shapes.append(pieces_B.shape)
        if len(pieces_B) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.fails:
            raise ZeroDivisionError("a net fell over")
        return pieces_B * 2.0


def vectors(slots):
    return [slot.result.result(timeout=20).raw_BD[slot.row].tolist() for slot in slots]


def test_a_batch_fills_and_the_last_is_filled_up():
    """Ten pieces in batches of four: three forwards of one shape, and everyone gets their own."""
    net = Doubling()
    assembler = BatchAssembler(net, 4)
    with assembler.accept_pieces():
        slots = [assembler.add(np.array([n, 1.0])) for n in range(10)]
        vectors(slots[:8])
        assert not slots[9].result.done()

    assert [[2.0 * n, 2.0] for n in range(10)] == vectors(slots)
    assert [(4, 2)] * 3 == net.shapes


def test_shapes_do_not_mix():
    """A longer text waits for others of its width."""
    net = Doubling()
    assembler = BatchAssembler(net, 2)
    with assembler.accept_pieces():
        slots = [assembler.add(np.ones(width)) for width in (2, 3, 2, 3, 2)]

    assert [[2.0] * width for width in (2, 3, 2, 3, 2)] == vectors(slots)
    assert [(2, 2), (2, 2), (2, 3)] == sorted(net.shapes)


def test_shards_share_a_batch():
    """What one shard leaves half empty another fills: three and five pieces are two batches of four."""
    net = Doubling()
    assembler = BatchAssembler(net, 4)
    with assembler.accept_pieces():
        with assembler.accept_pieces():
            few = [assembler.add(np.array([float(n)])) for n in range(3)]
        assert not any(slot.result.done() for slot in few)
        many = [assembler.add(np.array([10.0 + n])) for n in range(5)]
        assert [[0.0], [2.0], [4.0]] == vectors(few)

    assert [[20.0 + 2 * n] for n in range(5)] == vectors(many)
    assert [(4, 1)] * 2 == net.shapes


def test_whoever_feeds_waits_for_the_net():
    """No more batches are under way than the lanes and one beside them, however many pieces there are."""
    assembler = BatchAssembler(Doubling(seconds=0.02), 1)
    with assembler.accept_pieces():
        slots = [assembler.add(np.ones(1)) for _ in range(50)]
        waiting = sum(not slot.result.done() for slot in slots)

    assert waiting <= 20


@pytest.mark.parametrize("room", [1, 3, 4])
def test_no_room_halves_the_batch(room, caplog):
    """The vectors come, and say the size of the batch that made them; later batches begin with it."""
    net = Doubling(room)
    assembler = BatchAssembler(net, 8)
    with assembler.accept_pieces():
        slots = [assembler.add(np.array([float(n)])) for n in range(16)]

    fits = {1: 1, 3: 2, 4: 4}[room]
    assert [[2.0 * n] for n in range(16)] == vectors(slots)
    assert {fits} == {slot.result.result().batch_rows for slot in slots}
    assert fits == net.shapes[-1][0]
    assert f"going on with {fits}" in caplog.text


def test_no_room_for_one_is_an_error():
    """There is nothing left to halve."""
    import torch

    assembler = BatchAssembler(Doubling(room=0), 4)
    with assembler.accept_pieces():
        slot = assembler.add(np.ones(1))

    with pytest.raises(torch.OutOfMemoryError):
        vectors([slot])


def test_an_error_reaches_those_who_wait():
    """A net that fails fails the rows it was given, and no thread is stuck."""
    assembler = BatchAssembler(Doubling(fails=True), 2)
    with assembler.accept_pieces():
        slots = [assembler.add(np.ones(1)) for _ in range(3)]

    for slot in slots:
        with pytest.raises(ZeroDivisionError, match="fell over"):
            vectors([slot])
