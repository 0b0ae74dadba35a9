"""Trains the pocket CLIP: a real open_clip model of 0.7 million parameters, for the demo and the tests.

It loads as the real ones do (`local-dir:FOLDER` in place of a model's name) and knows only the
miniature world's 24 kinds of things.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.compute.device import choose_device
from pipelines.errors import ConfigError
from pipelines.miniature import captions
from pipelines.train.losses import symmetric_info_nce
from pipelines.train.pocket.clip_data import (
    IMAGE_PX,
    UNKNOWN,
    ClipBatch,
    ClipSampler,
    ClipSizes,
    augment_pictures,
)
from pipelines.train.pocket.clip_eval import evaluate
from pipelines.train.trainer import has_fast_bf16

__all__ = ["STEPS", "evaluate", "train"]

STEPS = 3500
FULL = ClipSizes()
CONTEXT = 20  # tokens; the longest caption has 17 words and an end mark
_PAD, _END = "[PAD]", "[EOS]"  # tokens 0 and 2; 1 is `UNKNOWN`

_WEIGHTS = "open_clip_model.safetensors"
_FILES = ("README.md", "open_clip_config.json", "tokenizer.json", "tokenizer_config.json")
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
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


class ClipTraining:
    """A model under training: weights, optimizer and completed steps."""

    def __init__(self, folder: Path, seed: int, steps: int) -> None:
        """Resume the training in `folder`, or begin one there."""
        import open_clip
        import torch

        self.folder, self.seed, self.steps = folder, seed, steps
        self.step, self.loss = 0, float("nan")
        self.device = choose_device()
        # bf16 pays off only where it is native: 1,055 pictures/s a core against 748.
        self.bf16 = has_fast_bf16(self.device)
        folder.mkdir(parents=True, exist_ok=True)
        write_tokenizer(folder)
        write_config(folder)
        torch.manual_seed(seed)
        self.model = open_clip.CLIP(**make_model_config())
        self.model.to(self.device, memory_format=torch.channels_last)
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.optimizer = torch.optim.AdamW(_group_parameters(self.model), betas=(0.9, 0.98))
        # Tokens seen in training: the others get the embedding of the unknown word, not random weights.
        self.seen_tokens = torch.zeros(self.model.vocab_size, dtype=torch.bool)
        self._resume()

    def _resume(self) -> None:
        import torch

        file = self.folder / "checkpoint.pt"
        if not file.exists():
            return
        saved = torch.load(file, map_location=self.device, weights_only=True)
        if (saved["seed"], saved["steps"]) != (self.seed, self.steps):
            raise ConfigError(
                f"{self.folder} holds a training of {saved['steps']} steps from seed {saved['seed']}, "
                f"not of {self.steps} from {self.seed}; finish that one or remove the folder"
            )
        self.step, self.loss, self.seen_tokens = saved["step"], saved["loss"], saved["read"].cpu()
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])

    def save(self) -> None:
        """Write the checkpoint atomically."""
        import torch

        state = {
            "seed": self.seed,
            "steps": self.steps,
            "step": self.step,
            "loss": self.loss,
            "read": self.seen_tokens,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        scratch = self.folder / "checkpoint.tmp"
        torch.save(state, scratch)
        scratch.replace(self.folder / "checkpoint.pt")

    def train_step(self, batch: ClipBatch) -> None:
        """Take one optimizer step; `loss` becomes the batch's loss before it."""
        import torch

        self.model.train()
        # Linear warm-up over the first 5 % of the steps, cosine decay to 0.
        done = (self.step + 0.5) / self.steps
        factor = min(1.0, done / 0.05) * math.cos(done * math.pi / 2) ** 2
        for group in self.optimizer.param_groups:
            group["lr"] = factor * group["peak"]
        tokens_NT = self.tokenizer(batch.texts)
        self.seen_tokens[tokens_NT.unique()] = True
        mean, std = (torch.tensor(PREPROCESS[k], device=self.device) for k in ("mean", "std"))
        pictures = augment_pictures(torch.from_numpy(batch.pictures).to(self.device), batch.rng)
        pictures = (pictures - mean[:, None, None]) / std[:, None, None]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            image_ND = self.model.encode_image(pictures)
        text_ND = self.model.encode_text(tokens_NT.to(self.device))
        loss = symmetric_info_nce(
            torch.nn.functional.normalize(image_ND.float(), dim=-1),
            torch.nn.functional.normalize(text_ND, dim=-1),
            self.model.logit_scale.exp().clamp(max=100),
            torch.from_numpy(batch.targets).to(self.device),
        )
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.step, self.loss = self.step + 1, float(loss.detach())

    def publish(self, out: Path) -> None:
        """Move the files that open_clip loads to `out`, weights last, and remove the training's folder."""
        self._write_weights()
        (self.folder / "README.md").write_text(_CARD.format(steps=self.steps, seed=self.seed))
        out.mkdir(parents=True, exist_ok=True)
        for name in (*_FILES, _WEIGHTS):
            (self.folder / name).replace(out / name)
        shutil.rmtree(self.folder)

    def _write_weights(self) -> None:
        """Write the weights as fp16 safetensors; unseen tokens get the embedding of the unknown word."""
        import torch
        from safetensors.torch import save_file

        with torch.no_grad():
            embedding = self.model.token_embedding.weight
            embedding[~self.seen_tokens.to(embedding.device)] = embedding[1].clone()
        state = {
            name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
            for name, value in self.model.state_dict().items()
        }
        save_file(state, self.folder / _WEIGHTS)


def _group_parameters(model: Any) -> list[dict[str, Any]]:
    """Return the optimizer's groups: a higher rate for the ResNet, weight decay for matrices."""
    groups: dict[tuple[float, float], list[Any]] = {}
    for name, weight in model.named_parameters():
        peak = 4e-3 if name.startswith("visual.") else 2e-3
        groups.setdefault((peak, 0.05 if weight.ndim >= 2 else 0.0), []).append(weight)
    return [
        {"params": weights, "peak": peak, "weight_decay": decay} for (peak, decay), weights in groups.items()
    ]


def train(
    out: Path,
    seed: int,
    steps: int = STEPS,
    progress: Callable[[int, float], None] | None = None,
    *,
    sizes: ClipSizes = FULL,
) -> dict[str, float]:
    """Train a pocket CLIP from scratch and write weights, configuration and tokenizer to a folder.

    An interrupted training resumes from its last checkpoint, in `OUT.partial/`; `out` itself is
    written at the end. Pictures and captions are of the training split alone.

    Args:
        out: the folder; an earlier pocket CLIP in it is replaced.
        seed: of the scenes, the batches and the initial weights.
        steps: batches of `sizes.batch` pairs; `STEPS` of 128 take 14 minutes of one core that has AMX.
        progress: called after each step with its number (from 1) and its loss.
        sizes: of the batches and the training set; a resumed training needs the same, which is not checked.

    Returns:
        `loss` of the last step, `parameters`, and `train_s` and `steps` of this call.

    Raises:
        ConfigError: the checkpoint is of another seed or number of steps.
    """
    started = time.monotonic()
    training = ClipTraining(out.with_name(f"{out.name}.partial"), seed, steps)
    sampler = ClipSampler(seed, sizes)
    first = training.step
    while training.step < steps:
        training.train_step(sampler.draw_batch(training.step))
        if training.step % sizes.checkpoint_every == 0 or training.step == steps:
            training.save()
        if progress is not None:
            progress(training.step, training.loss)
    training.publish(out)
    return {
        "loss": training.loss,
        "parameters": sum(p.numel() for p in training.model.parameters()),
        "train_s": time.monotonic() - started,
        "steps": steps - first,
    }
