import pickle
import shutil
import warnings

import numpy as np
import pytest

from pipelines.errors import ConfigError, GenerationCancelledError
from pipelines.generate.audioldm.params import AudioLdmParams
from pipelines.generate.audioldm.spec import AudioLdmSpec

SHORT = AudioLdmParams(length_s=0.5, steps=4)


def units(count, seed=0):
    """Return unit vectors, float32 [N, 512]."""
    drawn_ND = np.random.default_rng(seed).standard_normal((count, 512)).astype(np.float32)
    return drawn_ND / np.linalg.norm(drawn_ND, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def pipeline(tiny):
    """Diffusers' own, retired pipeline, of the same folder."""
    import torch
    from diffusers import AudioLDMPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = AudioLDMPipeline.from_pretrained(tiny, torch_dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.mark.parametrize(
    ("length_s", "steps", "guidance"),
    [(0.32, 3, 2.5), (0.5, 4, 2.5), (1.0, 2, 4.0), (0.5, 3, 1.0)],
    ids=["whole-latents", "cut-to-length", "a-second", "without-guidance"],
)
def test_the_same_sounds_as_the_pipeline(generator, pipeline, length_s, steps, guidance):
    """The same weights, vectors and seeds give the samples of diffusers' AudioLDMPipeline."""
    import torch

    vectors_ND = units(8)
    expected_NT = pipeline(
        prompt_embeds=torch.from_numpy(vectors_ND),
        negative_prompt_embeds=torch.from_numpy(generator.encode_text([""] * 8)),
        audio_length_in_s=length_s,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=[torch.Generator().manual_seed(seed) for seed in range(8)],
    ).audios

    made_NT = generator.generate_waves(
        vectors_ND, range(8), AudioLdmParams(length_s=length_s, steps=steps, guidance=guidance)
    )

    assert (8, int(length_s * generator.rate_hz)) == made_NT.shape
    np.testing.assert_array_equal(expected_NT, made_NT)


def test_a_text_is_the_pipelines_text(generator, pipeline):
    """A caption conditions as it does in the pipeline, and "" is what it is guided away from."""
    import torch

    expected_NT = pipeline(
        "a dog barks twice",
        audio_length_in_s=0.5,
        num_inference_steps=4,
        generator=[torch.Generator().manual_seed(5)],
    ).audios

    made_NT = generator.generate_waves(generator.encode_text(["a dog barks twice"]), [5], SHORT)

    np.testing.assert_allclose(expected_NT, made_NT, atol=1e-5)


def test_neither_batch_nor_place_changes_a_sound(generator):
    """Alone, among eight, among eleven and in another order: the same bits."""
    vectors_ND, order = units(11), [7, 2, 9, 0]

    all_NT = generator.generate_waves(vectors_ND, range(11), SHORT)

    np.testing.assert_array_equal(all_NT[:8], generator.generate_waves(vectors_ND[:8], range(8), SHORT))
    np.testing.assert_array_equal(all_NT[order], generator.generate_waves(vectors_ND[order], order, SHORT))
    for row in (0, 4, 10):
        np.testing.assert_array_equal(
            all_NT[[row]], generator.generate_waves(vectors_ND[[row]], [row], SHORT)
        )


@pytest.mark.parametrize("batch_rows", [1, 3], ids=["one", "three"])
def test_another_batch_size_changes_no_more_than_the_last_digits(tiny, generator, batch_rows):
    """A batch is filled up to one size; another size rounds otherwise, and that is all."""
    vectors_ND = units(4)
    other = AudioLdmSpec(str(tiny), batch_rows=batch_rows).open()

    np.testing.assert_allclose(
        generator.generate_waves(vectors_ND, range(4), SHORT),
        other.generate_waves(vectors_ND, range(4), SHORT),
        atol=1e-5,
    )


def test_vector_seed_and_guidance_change_a_sound(generator):
    """What a sound is made of is heard in it; the length of its vector is not."""
    vectors_ND = units(2)
    first_T = generator.generate_waves(vectors_ND[:1], [0], SHORT)[0]

    assert not np.allclose(first_T, generator.generate_waves(vectors_ND[1:], [0], SHORT)[0], atol=1e-4)
    assert not np.allclose(first_T, generator.generate_waves(vectors_ND[:1], [1], SHORT)[0], atol=1e-4)
    stronger = SHORT.model_copy(update={"guidance": 7.0})
    assert not np.allclose(first_T, generator.generate_waves(vectors_ND[:1], [0], stronger)[0], atol=1e-4)
    np.testing.assert_allclose(
        first_T, generator.generate_waves(9 * vectors_ND[:1], [0], SHORT)[0], atol=1e-5
    )


def test_progress_counts_every_step(generator):
    """Eleven sounds are two batches of eight; each step of each is told."""
    told = []

    generator.generate_waves(units(11), range(11), SHORT, lambda done, total: told.append((done, total)))

    assert [(step, 8) for step in range(1, 9)] == told


def test_progress_can_cancel(generator):
    """Who raises in it stops the work after that step."""
    told = []

    def enough(done, total):
        told.append(done)
        if done == 2:
            raise GenerationCancelledError

    with pytest.raises(GenerationCancelledError):
        generator.generate_waves(units(2), range(2), SHORT, enough)
    assert [1, 2] == told


def test_no_vectors_are_no_sounds(generator):
    """An empty shard is nothing to be afraid of."""
    assert (0, 800) == generator.generate_waves(np.empty((0, 512), np.float32), [], SHORT).shape


def test_a_loader_travels(tiny):
    """It goes to workers by pickle and is equal there."""
    loader = AudioLdmSpec(str(tiny), precision="bf16")
    assert loader == pickle.loads(pickle.dumps(loader))
    assert hash(loader) == hash(pickle.loads(pickle.dumps(loader)))


def test_half_precision_makes_sounds_too(tiny):
    """In bf16 a sound is finite and as long."""
    made_NT = AudioLdmSpec(str(tiny), precision="bf16").open().generate_waves(units(2), range(2), SHORT)
    assert (2, 800) == made_NT.shape
    assert np.isfinite(made_NT).all()


@pytest.mark.parametrize(
    ("vectors_ND", "settings", "said"),
    [
        (units(1)[:, :100], SHORT, r"\[1, 100\].*512 numbers"),
        (units(2), SHORT, r"\[2, 512\] and 1 seeds"),
        (np.zeros((1, 512), np.float32), SHORT, "without a direction"),
        (np.full((1, 512), np.nan, np.float32), SHORT, "without a direction"),
        (units(1), AudioLdmParams(length_s=0.03, steps=4), r"0\.03 s is too short.*0\.04 s"),
        (units(1), SHORT.model_copy(update={"length_s": float("nan")}), "nan s is too short"),
    ],
    ids=["dims", "seeds", "zero", "nan", "short", "no-length"],
)
def test_what_cannot_be_made_is_said(generator, vectors_ND, settings, said):
    """One sentence: what was found, what was wanted, what to do."""
    with pytest.raises(ConfigError, match=said):
        generator.generate_waves(vectors_ND, [0], settings)


def dropped(file):
    def drop(folder):
        shutil.rmtree(folder / file) if (folder / file).is_dir() else (folder / file).unlink()

    return drop


def without_tensors(folder):
    from safetensors.torch import load_file, save_file

    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    save_file({name: tensor for name, tensor in tensors.items() if name != "conv_in.bias"}, file)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (dropped("vocoder"), "no vocoder in it"),
        (dropped("model_index.json"), "no AudioLDM that diffusers saved"),
        (dropped("unet/diffusion_pytorch_model.safetensors"), "unet cannot be loaded"),
        (without_tensors, r"lack 1 tensors.*conv_in\.bias"),
    ],
    ids=["no-vocoder", "no-index", "no-weights", "lacking"],
)
def test_a_damaged_folder_is_said(tiny, tmp_path, harm, said):
    """Diffusers would fill what is missing with random numbers, and only log it."""
    folder = tmp_path / "damaged"
    shutil.copytree(tiny, folder)
    harm(folder)
    with pytest.raises(ConfigError, match=said):
        AudioLdmSpec(str(folder)).open()


def test_no_folder_at_all():
    """A name that is neither a folder nor a repository is not asked of a hub."""
    with pytest.raises(ConfigError, match="there is no folder nowhere"):
        AudioLdmSpec("nowhere").open()
