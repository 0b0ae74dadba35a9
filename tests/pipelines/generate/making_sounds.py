"""Prompts that are made up, and the tiny generator over them, without a dataset, the web or Ray."""

import hashlib
from pathlib import Path

import numpy as np

from pipelines.encode.encoder import EncoderSpec
from pipelines.encode.loaders.pocket import make_pocket_clap
from pipelines.generate.audioldm.params import AudioLdmParams
from pipelines.generate.generator import ChosenGenerator
from pipelines.generate.judge import Judge
from pipelines.generate.prompts import make_text_prompts
from pipelines.generate.registry import choose_generator
from pipelines.generate.request import Condition
from pipelines.generate.step import GenerateStep
from pipelines.run.runner import Runner
from pipelines.store.root import Root
from schemas.generated import GenerationManifest, GenerationSettings, GeneratorInfo, PromptSource
from schemas.generators import GeneratorEntry

TINY = {"length_s": 0.5, "steps": 2}
SETTINGS = {"format": "flac", "shard_samples": 4}


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


def tiny_choice(tiny: Path, **more: object) -> ChosenGenerator:
    """Return the tiny generator as a person would name it."""
    return choose_generator(GeneratorEntry(weights=str(tiny), **more))


class Speaking:
    """A generator whose text tower says what it is told to."""

    medium, reads, params = "sound", ("clap_audio",), AudioLdmParams

    def __init__(self, speak):
        self.encode_text = speak

    def open(self):
        return self

    def fingerprint(self):
        return "0" * 64

    def generate(self, prompts, seeds, params, progress=None):
        raise AssertionError("it only speaks")


ADVICE = "build a set with encode.clap={loader: audioldm, weights: other, audio: ITS ORIGINAL CHECKPOINT}"


def speaking(speak) -> ChosenGenerator:
    """Return a generator that speaks like that."""
    made_by = GeneratorInfo(
        name="other", weights_sha256="0" * 64, medium="sound", reads=("clap_audio",), batch_rows=4,
        rate_hz=16_000, text_sha256="1" * 64, advice=ADVICE,
    )  # fmt: skip
    return ChosenGenerator(Speaking(speak), made_by)


def step(
    folder: Path,
    chosen: ChosenGenerator,
    prompts: list[dict] | None = None,
    judged: bool = True,
    **making: object,
) -> GenerateStep:
    """Return a step whose prompts are written: rows with vectors, or two texts if none are given."""
    settings = {key: value for key, value in making.items() if key in GenerationSettings.model_fields}
    params = TINY | {key: value for key, value in making.items() if key not in settings}
    wanted = GenerationManifest(
        name="toy",
        set="main",
        version=1,
        asked=PromptSource(),
        via="none",
        translator=None,
        generator=chosen.info,
        settings=GenerationSettings.model_validate(SETTINGS | settings),
        params=params,
    )
    column, space = "clap_audio", judge().space
    conditions = (Condition(column, column, column, space),) if prompts is not None else ()
    clap = Judge(judge(), "audio") if judged else None
    made = GenerateStep(Root.from_url(str(folder)), wanted, chosen, conditions, clap)
    if prompts is None:
        made.prompts.write(make_text_prompts(["a dog barks", "a bell rings"]), {})
    else:
        made.prompts.write(prompts, {column: space})
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
