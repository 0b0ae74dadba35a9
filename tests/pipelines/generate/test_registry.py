"""A generator is chosen by its name, and known by its weights."""

import pytest

from pipelines.errors import ConfigError, StorageError
from pipelines.generate.registry import GeneratorSpec, choose_generator
from schemas.dataset import GeneratorEntry
from tests.pipelines.generate.making_sounds import rows, step, through, tiny_choice


def test_a_generator_is_described_before_it_is_loaded(tiny):
    """Its name is that of its folder; equal weights have equal fingerprints, whatever else is asked for."""
    spec, other = tiny_choice(tiny), tiny_choice(tiny, batch_rows=2)

    assert ("tiny", 8, 1_600) == (spec.info.name, spec.info.batch_rows, spec.info.rate_hz)
    assert spec.info.weights_sha256 == other.info.weights_sha256
    assert spec.open() is spec.open()


def test_a_name_that_is_no_folder_is_refused():
    """One sentence with what may be given instead."""
    with pytest.raises(ConfigError, match=r"'nowhere' is no folder here; give pocket, a folder"):
        choose_generator(GeneratorEntry(weights="nowhere"))


def test_a_worker_with_other_weights_says_so(chosen, tmp_path):
    """Sounds of two generators are never mixed."""
    other = GeneratorSpec(chosen.loader, chosen.info.model_copy(update={"weights_sha256": "f" * 64}))
    with pytest.raises(StorageError, match=r"other weights of tiny .* not ffffffffffff"):
        through(step(tmp_path, other, rows(1)))
