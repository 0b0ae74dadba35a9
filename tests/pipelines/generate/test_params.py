"""The parameters of a generator: its own model checks them, and an error is one sentence."""

import pytest

from pipelines.errors import ConfigError
from pipelines.generate.audioldm.params import AudioLdmParams
from pipelines.generate.params import make_params, parse_params


def test_what_is_not_given_has_the_defaults_of_the_model():
    """And what is given is read as in a file."""
    given = parse_params(["steps=10", "guidance=1.5"])

    assert AudioLdmParams(length_s=5.0, steps=10, guidance=1.5) == make_params(AudioLdmParams, given, "x")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["steps=0"], r"generator x: steps: .*greater than or equal to 1 \(found 0\)"),
        (["steps=many"], r"generator x: steps: .*\(found 'many'\)"),
        (["palette=warm"], "generator x has no parameter 'palette'; it has: length_s, steps, guidance"),
        (["steps"], "'steps' is no parameter; write KEY=VALUE"),
        (["steps=[1"], "is not YAML"),
    ],
    ids=["no-steps", "type", "unknown", "no-value", "no-yaml"],
)
def test_what_the_model_does_not_take_is_one_sentence(given, said):
    """A diffusion of no steps is noise; an unknown key names the known ones."""
    with pytest.raises(ConfigError, match=said):
        make_params(AudioLdmParams, parse_params(given), "x")
