import hashlib
import random

import pytest

from pipelines.encode.loaders.weights import as_config_errors, compute_fingerprint, load_tensors
from pipelines.errors import ConfigError


def test_one_file_has_its_own_sha256(tmp_path):
    """As `sha256sum` prints it; a file that changes has another."""
    file = tmp_path / "a.pt"
    file.write_bytes(b"weights")
    assert hashlib.sha256(b"weights").hexdigest() == compute_fingerprint([file])

    file.write_bytes(b"other weights")
    assert hashlib.sha256(b"other weights").hexdigest() == compute_fingerprint([file])


def test_several_files_have_that_of_their_list(tmp_path):
    """Names and contents decide, the folder does not."""
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        for name in ("1.bin", "2.bin"):
            (tmp_path / folder / name).write_text(name)
    here, there = ([tmp_path / of / name for name in ("1.bin", "2.bin")] for of in ("here", "there"))
    listed = "".join(f"{hashlib.sha256(file.name.encode()).hexdigest()}  {file.name}\n" for file in here)

    assert hashlib.sha256(listed.encode()).hexdigest() == compute_fingerprint(here)
    assert compute_fingerprint(here) == compute_fingerprint(there)
    assert compute_fingerprint(here) != compute_fingerprint(here[::-1])


def test_both_formats_hold_the_same_tensors(tmp_path):
    """Safetensors and a pickle of torch are told apart by their suffix."""
    import torch
    from safetensors.torch import save_file

    tensors = {"layer.weight": torch.arange(6.0).reshape(2, 3)}
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "a.bin")

    for name in ("a.safetensors", "a.bin"):
        assert torch.equal(
            tensors["layer.weight"], load_tensors("encode.clip", tmp_path / name)["layer.weight"]
        )


class Score:
    """What a checkpoint may hold beside its weights."""


def test_a_pickle_names_only_what_is_allowed(tmp_path):
    """Any other class is refused, as code that would run."""
    import torch

    torch.save({"best": Score()}, tmp_path / "a.pt")

    assert isinstance(load_tensors("encode.clap", tmp_path / "a.pt", [Score])["best"], Score)
    with pytest.raises(ConfigError, match=r"encode\.clap: a\.pt cannot be loaded \(UnpicklingError"):
        load_tensors("encode.clap", tmp_path / "a.pt")


def test_what_a_library_raises_is_one_sentence():
    """The first line of it, and what to do; an error of another kind is a bug and goes through."""
    said = r"tiny cannot be loaded \(ValueError: no net\); check"
    with pytest.raises(ConfigError, match=said) as raised, as_config_errors("encode.clip", "tiny"):
        raise ValueError("\nno net\nand forty lines more")

    assert "forty" not in str(raised.value)
    with pytest.raises(KeyError), as_config_errors("encode.clip", "tiny"):
        raise KeyError("a bug")


def test_bytes_that_are_no_checkpoint(tmp_path):
    """Whatever torch's reader of pickles stumbles over, it is one sentence: 200 files, drawn by a seed."""
    rng, letters = random.Random(0), b".()0123]}aceGhIjKlMNopqrRsStu\x80\x81\x02\x8a\n "
    for number in range(200):
        file = tmp_path / f"{number}.pt"
        file.write_bytes(bytes(rng.choices(letters, k=rng.randint(1, 60))))

        with pytest.raises(ConfigError, match=rf"encode\.clip: {number}\.pt cannot be loaded"):
            load_tensors("encode.clip", file)
