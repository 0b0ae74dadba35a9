"""Prompts that are made up, and the tiny generator over them, without a dataset, the web or Ray."""

import hashlib
from pathlib import Path

import numpy as np

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.loaders.pocket import make_pocket_clap
from pipelines.generate.prompts import make_text_prompts
from pipelines.generate.registry import GeneratorSpec, choose_generator
from pipelines.generate.step import GenerateStep
from pipelines.run.runner import Runner
from pipelines.store.root import Root
from schemas.dataset import GeneratorEntry
from schemas.generated import GenerationManifest, GenerationParams, GeneratorInfo, PromptSource

TINY = {"length_s": 0.5, "steps": 2, "shard_sounds": 4}


def judge() -> EncoderSpec:
    """Return pocket CLAP, whose text tower is the tiny generator's."""
    loader = make_pocket_clap("fp32")
    return EncoderSpec(loader.space(), loader)


def rows(count: int) -> list[dict]:
    """Return so many rows with vectors of pocket CLAP's length, each its own."""
    rng = np.random.default_rng(0)
    drawn_ND = rng.standard_normal((count, 512))
    drawn_ND /= np.linalg.norm(drawn_ND, axis=1, keepdims=True)
    return [
        {
            "id": hashlib.sha256(b"%d" % number).hexdigest()[:32],
            "source_key": f"{number:08d}",
            "prompt": "row",
            "caption": f"thing {number}",
            "url": f"http://x/{number}",
            "outcome": "ok",
            "reason": "",
            "clap_audio": vector.astype(np.float16),
        }
        for number, vector in enumerate(drawn_ND)
    ]


def tiny_choice(tiny: Path, **more: object) -> GeneratorSpec:
    """Return the tiny generator as a person would name it."""
    return choose_generator(GeneratorEntry(weights=str(tiny), **more))


class Speaking:
    """A generator whose text tower says what it is told to."""

    rate_hz = 16_000

    def __init__(self, speak):
        self.encode_text = speak

    def load(self):
        return self


def speaking(speak) -> GeneratorSpec:
    """Return a generator that speaks like that."""
    made_by = GeneratorInfo(
        name="other", weights_sha256="0" * 64, precision="fp32", batch_rows=4, rate_hz=16_000
    )
    return GeneratorSpec(Speaking(speak), made_by)


def step(
    folder: Path,
    chosen: GeneratorSpec,
    prompts: list[dict] | None = None,
    judged: bool = True,
    **making: object,
) -> GenerateStep:
    """Return a step whose prompts are written: rows with vectors, or two texts if none are given."""
    wanted = GenerationManifest(
        name="toy",
        set="main",
        version=1,
        asked=PromptSource(),
        via="none",
        translator=None,
        generator=chosen.info,
        making=GenerationParams.model_validate(TINY | making),
    )
    column = "clap_audio" if prompts is not None else None
    clap = judge() if judged else None
    made = GenerateStep(Root.from_url(str(folder)), wanted, chosen, column, column, clap)
    if prompts is None:
        made.prompts.write(make_text_prompts(["a dog barks", "a bell rings"]), None, None)
    else:
        made.prompts.write(prompts, column, judge().space)
    return made


def through(made: GenerateStep) -> list[dict]:
    """Make every shard, and return the rows of their tables."""
    runner = Runner(made)
    shards = made.prompts.read_shards()
    for shard in shards:
        runner.run(shard)
    return [row for shard in shards for row in made.root.read_table(made.get_marker(shard)).to_pylist()]


def files(made: GenerateStep) -> dict[str, str]:
    """Return the sha256 of every tar and table."""
    names = [name for name in made.root.list_names(made.folder) if name.endswith((".tar", ".parquet"))]
    return {name: made.root.compute_sha256(f"{made.folder}/{name}") for name in names}
