import pytest

from pipelines.errors import ConfigError
from pipelines.index.factory import choose_factory, parse_memory


@pytest.mark.parametrize(
    ("written", "expected"),
    [("4GiB", 4 * 2**30), ("1.5 MiB", 3 * 2**19), ("500KB", 500_000), ("2TB", 2 * 10**12), ("1GB", 10**9)],
)
def test_memory(written, expected):
    """Binary and decimal units, with or without a blank."""
    assert expected == parse_memory(written)


@pytest.mark.parametrize(
    ("rows", "memory", "factory"),
    [
        pytest.param(1, "4GiB", "Flat", id="one-row"),
        pytest.param(20_000, "4GiB", "Flat", id="small"),
        pytest.param(20_001, "4GiB", "IVF512,SQfp16", id="no-more-small"),
        pytest.param(200_000, "4GiB", "IVF2048,SQfp16", id="medium"),
        pytest.param(1_000_000, "4GiB", "IVF4096,SQfp16", id="large"),
        pytest.param(1_000_000, "512MiB", "OPQ128,IVF4096,PQ128np", id="large-in-little"),
        pytest.param(1_000_000, "100MiB", "OPQ64,IVF4096,PQ64np", id="large-in-less"),
        pytest.param(20_000, "30MiB", "IVF512,SQfp16", id="small-in-little"),
        pytest.param(10, "64KiB", "Flat", id="ten-rows"),
    ],
)
def test_choice(rows, memory, factory):
    """Exact where it is quick, lossless where it fits, and only then compressed."""
    setting = choose_factory(rows, 512, memory)

    assert factory == setting.factory
    assert setting.bytes <= parse_memory(memory)


def test_memory_that_holds_nothing():
    """Too little memory is an error that says how much is enough."""
    with pytest.raises(ConfigError, match=r"at least \d+MiB") as caught:
        choose_factory(1_000_000, 512, "10MiB")

    enough = str(caught.value).split("at least ")[1].split("MiB")[0]
    assert choose_factory(1_000_000, 512, f"{enough}MiB").factory == "OPQ16,IVF4096,PQ16np"
