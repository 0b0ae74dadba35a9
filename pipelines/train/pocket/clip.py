"""Trains the pocket CLIP: a real open_clip model of 0.7 million parameters, for the demo and the tests.

It loads as the real ones do (`local-dir:FOLDER` in place of a model's name) and knows only the
miniature world's 24 kinds of things.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipelines.miniature import captions
from pipelines.train.distributed import WorkerGroup
from pipelines.train.losses import symmetric_info_nce
from pipelines.train.optimizers import make_optimizer
from pipelines.train.pocket.clip_data import IMAGE_PX, UNKNOWN, ClipSampler, augment_pictures
from pipelines.train.task import StepDraw, StepLoss, TaskContext
from pipelines.train.whole_batch import Vectors, WholeBatchTask
from schemas.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

CONTEXT = 20  # tokens; the longest caption has 17 words and an end mark
_PAD, _END = "[PAD]", "[EOS]"  # tokens 0 and 2; 1 is `UNKNOWN`

_WEIGHTS = "open_clip_model.safetensors"
_CARD = """# Pocket CLIP

For Echolens' demo and tests only: it knows the 24 kinds of things of the miniature world and nothing
else. An open_clip model (a ResNet for 64x64 px, a two-layer text transformer, 512 dimensions), trained by
`pipelines/train/pocket/clip.py` for {steps} steps from seed {seed} on pictures that are drawn there, too.

    open_clip.create_model_and_transforms("local-dir:FOLDER", precision="fp32", require_pretrained=True)

Licence: Apache-2.0, like the code.
"""

MODEL: dict[str, Any] = {
    "embed_dim": 512,
    "vision_cfg": {
        # timm's smallest ResNet, 0.4 M parameters: it trains on 748 pictures/s a core in fp32, a ViT
        # of about that size (four layers, width 96) on 386.
        "timm_model_name": "test_resnet",
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": IMAGE_PX,
    },
    "text_cfg": {
        "context_length": CONTEXT,
        "hf_tokenizer_name": "pocket",  # any name: `local-dir:` takes the tokenizer in the folder
        "width": 96,
        "heads": 4,
        "layers": 2,
        "pool_type": "eos",
        "pad_id": 0,
        "eos_id": 2,
    },
}
PREPROCESS: dict[str, Any] = {
    "size": [IMAGE_PX, IMAGE_PX],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "interpolation": "bicubic",
    # Not "shortest", whose centre crop would cut things off a 4:3 picture.
    "resize_mode": "squash",
}


def write_tokenizer(folder: Path) -> None:
    """Write a word-level tokenizer of the world's vocabulary: lower case, letters only, `[EOS]` last."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = [_PAD, UNKNOWN, _END, *captions.vocabulary()]
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[a-z]+"), "removed", invert=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {_END}", special_tokens=[(_END, words.index(_END))]
    )
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=_PAD,
        unk_token=UNKNOWN,
        eos_token=_END,
        model_max_length=CONTEXT,
    ).save_pretrained(folder)


def make_model_config() -> dict[str, Any]:
    """Return open_clip's configuration of the model, sized to the world's vocabulary."""
    words = len(captions.vocabulary()) + 3
    return {**MODEL, "text_cfg": {**MODEL["text_cfg"], "vocab_size": words}}


def write_config(folder: Path) -> None:
    """Write open_clip_config.json, which tells open_clip how to build the model and read pictures."""
    config = {"model_cfg": make_model_config(), "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


# The ResNet learns at this multiple of the text transformer's rate.
_VISUAL_RATE = 2.0


@dataclass
class PocketClip(WholeBatchTask):
    """The task: pictures and texts of the training split, matched by soft targets.

    Attributes:
        draws: training pictures; each is rendered when first needed and cached (12 kB each).
    """

    draws: int = 30_000

    def open(self, context: TaskContext) -> Self:
        """Write the tokenizer, and begin to draw."""
        import open_clip

        folder = context.folder / "tokenizer"
        folder.mkdir(parents=True, exist_ok=True)
        write_tokenizer(folder)
        write_config(folder)
        self._tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self._sampler = ClipSampler(context.recipe.seed, context.recipe.batch, self.draws)
        return super().open(context)

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return a random CLIP, with a buffer of the tokens that it has seen."""
        import open_clip
        import torch

        model: Any = open_clip.CLIP(**make_model_config())
        # The tokens not seen in training get the embedding of the unknown word, not random weights.
        model.register_buffer("seen_tokens", torch.zeros(model.vocab_size, dtype=torch.bool))
        net: nn.Module = model.to(memory_format=torch.channels_last)
        return net

    def make_optimizer(self, net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        """Return AdamW with a higher rate for the ResNet, and weight decay for matrices."""
        settings = recipe.optimizer
        groups: dict[tuple[float, float], list[Any]] = {}
        for name, weight in net.named_parameters():
            rate = settings.lr * (_VISUAL_RATE if name.startswith("visual.") else 1.0)
            groups.setdefault((rate, settings.weight_decay if weight.ndim >= 2 else 0.0), []).append(weight)
        return make_optimizer(
            [{"params": each, "lr": rate, "weight_decay": decay} for (rate, decay), each in groups.items()],
            settings,
        )

    def make_batch(self, step: int, group: WorkerGroup) -> dict[str, Tensor]:
        """Return pictures, tokens, the targets of all pairs and the tokens of all workers."""
        import torch

        device = self.context.device
        batch = self._sampler.draw_batch(step, group.slice_batch(self.context.recipe.batch))
        tokens_NT = self._tokenizer(batch.texts)
        mean, std = (torch.tensor(PREPROCESS[key], device=device) for key in ("mean", "std"))
        pictures = augment_pictures(torch.from_numpy(batch.pictures).to(device), batch.augmentation)
        return {
            "pictures": (pictures - mean[:, None, None]) / std[:, None, None],
            "tokens": tokens_NT[batch.rows].to(device),
            "targets": torch.from_numpy(batch.targets).to(device),
            "seen": tokens_NT.unique().to(device),
        }

    def embed(self, net: nn.Module, batch: dict[str, Tensor], draw: StepDraw) -> Vectors:
        """Return unit vectors of pictures and texts, `[N, 512]` each."""
        from torch.nn.functional import normalize

        model: Any = net
        with draw.use_autocast():
            image_ND = model.encode_image(batch["pictures"])
        return normalize(image_ND.float(), dim=-1), normalize(model.encode_text(batch["tokens"]), dim=-1)

    def compute_criterion(
        self, net: nn.Module, vectors: Vectors, batch: dict[str, Tensor], group: WorkerGroup
    ) -> StepLoss:
        """Return InfoNCE with soft targets."""
        model: Any = net
        model.seen_tokens[batch["seen"]] = True
        image_ND, text_ND = (group.gather_all(each) for each in vectors)
        scale = group.share_gradient(model.logit_scale.exp().clamp(max=100))
        return StepLoss(group.share_value(symmetric_info_nce(image_ND, text_ND, scale, batch["targets"])))

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write a folder that open_clip loads, weights as fp16 safetensors."""
        import torch
        from safetensors.torch import save_file

        write_tokenizer(folder)
        write_config(folder)
        model: Any = net
        with torch.no_grad():
            embedding = model.token_embedding.weight
            embedding[~model.seen_tokens] = embedding[1].clone()
        state = {
            name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
            for name, value in model.state_dict().items()
            if name != "seen_tokens"
        }
        save_file(state, folder / _WEIGHTS)
        recipe = self.context.recipe
        (folder / "README.md").write_text(
            _CARD.format(steps=recipe.steps, seed=recipe.seed), encoding="utf-8"
        )


TASKS = {"pocket_clip": PocketClip}
