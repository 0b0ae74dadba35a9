"""Cards of weights that others wrote."""

import pytest

from pipelines.errors import ConfigError
from pipelines.models import adapter_files, joint_vae, prefix_captioner, towers, vae_files

READERS = {
    adapter_files.ADAPTER_CARD: adapter_files.read_adapter_card,
    joint_vae.JOINT_FILE: joint_vae.read_joint_card,
    prefix_captioner.CAPTIONER_CARD: prefix_captioner.read_captioner_card,
    towers.CARD: towers.read_towers_card,
    vae_files.VAE_FILE: vae_files.read_vae_card,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "holds no .*, so it is no .*; train one with"),
        ("[" * 100_000, "is no card of a .*recursion.*; train it again"),
        ("[]", "is no card of a"),
        ('{"extra": 1}', "is no card of a"),
        ("\\ud800", "is no card of a"),
    ],
    ids=["none", "deep", "list", "extra", "no JSON"],
)
def test_a_card_is_read_or_refused_in_a_sentence(name, text, told, tmp_path):
    """Whatever it holds: a root is somebody else's."""
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=told):
        READERS[name](tmp_path)
