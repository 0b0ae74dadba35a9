"""A generator is chosen by its name, and known by its weights."""

import pytest

from pipelines.errors import ConfigError, StorageError
from pipelines.generate.generator import ChosenGenerator
from pipelines.generate.registry import choose_generator, list_names, parse_generator
from schemas.generators import GeneratorEntry, OtherGenerator
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
    other = ChosenGenerator(chosen.spec, chosen.info.model_copy(update={"weights_sha256": "f" * 64}))
    with pytest.raises(StorageError, match=r"other weights of tiny .* not ffffffffffff"):
        through(step(tmp_path, other, rows(1)))


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("audioldm", {"name": "audioldm"}),
        ("audioldm:mine", {"name": "audioldm:mine"}),
        ("my_package.module:Painter", {"name": "my_package.module:Painter"}),
        ("pocket", {"weights": "pocket"}),
        ("./audioldm", {"weights": "./audioldm"}),
        ("cvssp/audioldm-s-full-v2", {"weights": "cvssp/audioldm-s-full-v2"}),
        ("my_package:painter", {"weights": "my_package:painter"}),
    ],
)
def test_what_a_person_says_is_a_name_or_weights(text, entry):
    """A class begins with a capital letter; whatever is no name of a generator is AudioLDM's weights."""
    assert entry == parse_generator(text)


def test_the_bare_name_is_the_one_that_ships():
    """As are the weights `pocket`, which say the same."""
    bare, pocket = (choose_generator(GeneratorEntry(**given)) for given in ({}, {"weights": "pocket"}))

    assert bare == pocket
    assert ("audioldm", "sound", ("clap_audio",)) == (bare.info.name, bare.info.medium, bare.info.reads)
    assert "audioldm" in list_names()


def test_an_unknown_name_lists_the_known_ones():
    """And that it may be a class."""
    with pytest.raises(ConfigError, match=r"'gan' is no generator; it must be one of audioldm.*module:Class"):
        choose_generator(OtherGenerator(name="gan"))
