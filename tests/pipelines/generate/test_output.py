"""What is stored of a NAME: its manifest, which must not change, and its card."""

import pytest

from pipelines.errors import ConfigError, StorageError
from pipelines.generate.output import find_card, read_manifest, write_card, write_manifest
from pipelines.store.root import Root
from schemas.generated import (
    GeneratedCard,
    GenerationManifest,
    GenerationSettings,
    GeneratorInfo,
    PromptSource,
)


@pytest.fixture
def root(tmp_path):
    return Root.from_url(str(tmp_path))


@pytest.fixture
def manifest():
    info = GeneratorInfo(
        name="tiny",
        weights_sha256="0" * 64,
        medium="sound",
        reads=("clap_audio",),
        batch_rows=8,
        rate_hz=1_600,
    )
    return GenerationManifest(
        name="toy", set="main", version=1, asked=PromptSource(), via="none", translator=None, generator=info,
        settings=GenerationSettings(format="flac"), params={"steps": 50},
    )  # fmt: skip


def test_a_manifest_keeps_the_version_of_the_first_request(root, manifest):
    """A later request of the same NAME may come from a newer version, or know the licence."""
    assert read_manifest(root, manifest) is None
    write_manifest(root, manifest)

    licensed = manifest.generator.model_copy(update={"licence": "mit"})
    later = manifest.model_copy(update={"version": 2, "generator": licensed})
    assert manifest == read_manifest(root, later)


@pytest.mark.parametrize(
    ("update", "said"),
    [
        (
            {"settings": GenerationSettings(format="flac", seed=3)},
            "with settings.seed 0, and 3 was asked for",
        ),
        ({"params": {"steps": 9}}, "with params.steps 50, and 9 was asked for"),
        ({"asked": PromptSource(limit=4)}, "with asked.limit None, and 4 was asked for"),
        ({"via": "captions"}, "with via 'none', and 'captions' was asked for"),
    ],
    ids=["settings", "params", "prompts", "path"],
)
def test_another_request_under_a_name_is_refused(root, manifest, update, said):
    """The sentence names the first key that differs, and both values."""
    write_manifest(root, manifest)

    with pytest.raises(ConfigError, match=f"--name toy are made {said}; give them another --name"):
        read_manifest(root, manifest.model_copy(update=update))


def test_a_damaged_manifest_says_what_to_remove(root, manifest):
    """A NAME whose manifest cannot be read is generated again."""
    root.write("generated/toy/wanted.json", b"{")

    with pytest.raises(StorageError, match=r"is damaged \(.*\); remove generated/toy and generate again"):
        read_manifest(root, manifest)


def test_a_card_counts_the_sounds_of_all_shards(six, tmp_path):
    """Sounds, outcomes and scores as the tables have them; a damaged card is no card."""
    made, table = six
    card = write_card(made, made.prompts.read_shards(), 1.0)

    assert card == find_card(made.root, "toy")
    assert (2, 6, 3.0, {"ok": 6}) == (card.shards, card.samples, card.length_s, card.outcomes)
    assert sum(row["score"] for row in table) / 6 == pytest.approx(card.mean_score)
    assert isinstance(card, GeneratedCard)

    damaged = Root.from_url(str(tmp_path))
    damaged.write("generated/toy/card.json", b"{}")
    assert find_card(damaged, "toy") is None
