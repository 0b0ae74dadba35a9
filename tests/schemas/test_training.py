import pytest

from schemas.training import Experiment, FitSettings, PairSource, TrainingPreset

DATA = {"toy": [{"from": "clip_image", "to": "clap_audio"}]}


def test_listed_values_become_a_grid():
    """Every combination is an experiment, and its name has what is not the default."""
    preset = TrainingPreset(
        name="grid",
        data=DATA,
        cells=[{"data": "toy", "loss": ["mse", "cosine"], "hidden": [16, 32], "p_drop": 0.5}],
    )

    assert [
        "toy-mlp-mse-h16-drop0.5",
        "toy-mlp-mse-h32-drop0.5",
        "toy-mlp-cosine-h16-drop0.5",
        "toy-mlp-cosine-h32-drop0.5",
    ] == [experiment.name for experiment in preset.expand()]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        pytest.param([{"data": "other"}], "a cell names data 'other'; known are toy", id="data"),
        pytest.param([{"data": "toy"}, {"data": "toy"}], "two cells are 'toy-mlp-cosine-h512'", id="twice"),
        pytest.param([{"data": "toy", "hidden": 0}], "hidden of cell .*greater than", id="value"),
    ],
)
def test_a_cell_that_cannot_be_trained_is_named(cells, message):
    """Unknown data, two experiments of one name, and a value out of range."""
    with pytest.raises(ValueError, match=message):
        TrainingPreset(name="grid", data=DATA, cells=cells)


def test_what_does_not_fit_together_is_refused():
    """A net and a loss, a batch and its workers, a pair of one column."""
    with pytest.raises(ValueError, match="do not go together"):
        Experiment(data="toy", net="diffusion", loss="cosine")
    with pytest.raises(ValueError, match="a batch of 5 cannot be divided among 2 workers"):
        FitSettings(batch=5, workers=2)
    with pytest.raises(ValueError, match="pairs lead from clip_text to itself"):
        PairSource(source="clip_text", target="clip_text")
