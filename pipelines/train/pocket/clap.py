"""Trains the pocket CLAP: a real transformers `ClapModel` of 1.2 M parameters, for the demo and the tests.

It loads as the real ones do (`ClapModel.from_pretrained(FOLDER)`) and knows only the miniature
world's 24 kinds of things.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.compute.device import choose_device
from pipelines.errors import ConfigError
from pipelines.miniature import captions
from pipelines.train.losses import symmetric_info_nce
from pipelines.train.pocket.clap_data import (
    ATTRIBUTES,
    FEATURES,
    MELS,
    UNKNOWN,
    ClapBatch,
    ClapSampler,
    ClapSizes,
)
from pipelines.train.pocket.clap_eval import evaluate
from pipelines.train.trainer import has_fast_bf16

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["STEPS", "evaluate", "train"]

STEPS = 2500
FULL = ClapSizes()
CONTEXT = 77  # tokens, as many as laion_clap takes
PEAK_RATE = 2e-3
# Weights of the auxiliary classification losses beside the contrastive loss, in the order of `ATTRIBUTES`.
# They draw both towers towards one prototype a kind, pitch, count and background. From random weights the
# towers wait for each other: without these losses the contrastive loss is 3.5 after 300 steps, with that of
# the kinds 2.3; and without those of pitch, count and background these stay at chance after 1,500 steps.
_CLASS_WEIGHTS = (0.5, 0.25, 0.25, 0.25)
_CLASSES = [len(values) for values in ATTRIBUTES.values()]
_IGNORED = -1
_DIMS = 512
# RoBERTa's; their ids are the positions in `_SPECIAL_TOKENS`.
_SPECIALS = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "unk_token": UNKNOWN,
    "mask_token": "<mask>",
}
_CARD = """# Pocket CLAP

For Echolens' demo and tests only: it knows the 24 kinds of things of the miniature world and nothing
else. A transformers `ClapModel` (HTSAT for windows of 5 s at 48 kHz, a two-layer text transformer, 512
dimensions), trained by `pipelines/train/pocket/clap.py` for {steps} steps from seed {seed} on sounds that
are made there, too.

    ClapModel.from_pretrained(FOLDER, dtype=torch.float32)
    AutoProcessor.from_pretrained(FOLDER)

Licence: Apache-2.0, like the code.
"""
_SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", UNKNOWN, "<mask>")

# transformers' initial weights suit towers of 12 layers; towers this small hardly learn from them.
_INIT_FACTOR = 3.0
# HTSAT folds 288 frames of 32 mels into a square of 96 and cuts it into 12 x 24 patches.
AUDIO_TOWER: dict[str, Any] = {
    "spec_size": 96,
    "num_mel_bins": MELS,
    "patch_size": [8, 4],
    "patch_stride": [8, 4],
    "patch_embeds_hidden_size": 64,
    "hidden_size": 128,
    "depths": [1, 2],
    "num_hidden_layers": 2,
    "num_attention_heads": [2, 4],
    "window_size": 6,  # the last stage is 6 x 12, and a window may not be larger
    "hidden_dropout_prob": 0.0,
    "initializer_factor": _INIT_FACTOR,
}
TEXT_TOWER: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "max_position_embeddings": CONTEXT + 2,  # RoBERTa counts them from 2
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_factor": _INIT_FACTOR,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}


def make_word_tokenizer() -> Any:
    """Return a word-level tokenizer of the world's vocabulary: lower case, letters only, `<s> ... </s>`."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = [*_SPECIAL_TOKENS, *captions.vocabulary()]
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[a-z]+"), "removed", invert=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        **_SPECIALS,
        model_max_length=CONTEXT,
    )


def make_model_config() -> Any:
    """Return the configuration of the model, sized to the world's vocabulary."""
    from transformers import ClapConfig

    words = len(_SPECIAL_TOKENS) + len(captions.vocabulary())
    return ClapConfig(
        text_config={**TEXT_TOWER, "vocab_size": words},
        audio_config=AUDIO_TOWER,
        projection_dim=_DIMS,
        initializer_factor=_INIT_FACTOR,
    )


class ClapTraining:
    """A model under training: weights, optimizer and completed steps."""

    def __init__(self, folder: Path, seed: int, steps: int) -> None:
        """Resume the training in `folder`, or begin one there."""
        import torch
        from transformers import ClapModel

        self.folder, self.seed, self.steps, self.step = folder, seed, steps, 0
        self.device = choose_device()
        # bf16 pays off only where it is native: 0.20 s a step on one core against 0.30.
        self.bf16 = has_fast_bf16(self.device)
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer = make_word_tokenizer()
        torch.manual_seed(seed)
        model: Any = ClapModel(make_model_config())
        self.model = model.to(self.device)
        # For training alone: only the towers are written.
        self.prototypes_VD = torch.nn.Parameter(0.05 * torch.randn(sum(_CLASSES), _DIMS, device=self.device))
        weights = [*self.model.parameters(), self.prototypes_VD]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in weights if p.ndim >= 2], "weight_decay": 0.05},
                {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
            ],
            betas=(0.9, 0.98),
        )
        # Tokens seen in training: the others get the embedding of the unknown word, not random weights.
        self.seen_tokens = torch.zeros(len(self.tokenizer), dtype=torch.bool)
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
        self.step, self.seen_tokens = saved["step"], saved["read"].cpu()
        self.model.load_state_dict(saved["model"])
        self.prototypes_VD.data.copy_(saved["hints"])
        self.optimizer.load_state_dict(saved["optimizer"])

    def save(self) -> None:
        """Write the checkpoint atomically."""
        import torch

        state = {
            "seed": self.seed,
            "steps": self.steps,
            "step": self.step,
            "read": self.seen_tokens,
            "model": self.model.state_dict(),
            "hints": self.prototypes_VD.detach(),
            "optimizer": self.optimizer.state_dict(),
        }
        scratch = self.folder / "checkpoint.tmp"
        torch.save(state, scratch)
        scratch.replace(self.folder / "checkpoint.pt")

    def train_step(self, batch: ClapBatch) -> float:
        """Take one optimizer step and return the batch's loss before it."""
        import torch

        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self._compute_rate()
        tokens = self.tokenizer(batch.texts, padding=True, return_tensors="pt")
        self.seen_tokens[tokens["input_ids"].unique()] = True
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            output = self.model(
                input_features=torch.from_numpy(batch.windows).to(self.device),
                input_ids=tokens["input_ids"].to(self.device),
                attention_mask=tokens["attention_mask"].to(self.device),
            )
        audio_ND, text_ND = output.audio_embeds.float(), output.text_embeds.float()
        scale = self.model.logit_scale_a.exp().clamp(max=100)
        loss = symmetric_info_nce(audio_ND, text_ND, scale, torch.from_numpy(batch.targets).to(self.device))
        loss = loss + self._compute_class_loss(scale * audio_ND, batch.values)
        loss = loss + self._compute_class_loss(
            scale * text_ND, np.where(batch.mentioned, batch.values, _IGNORED)
        )
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())

    def _compute_class_loss(self, scaled_ND: Tensor, values_N4: NDArray[np.int64]) -> Tensor:
        """Return the weighted cross entropy of the attributes of vectors; `_IGNORED` values are left out."""
        import torch
        from torch.nn.functional import cross_entropy, normalize

        logits_NV = scaled_ND @ normalize(self.prototypes_VD, dim=-1).T
        values = torch.from_numpy(values_N4).to(self.device)
        loss = torch.zeros((), device=self.device)
        for column, logits in enumerate(torch.split(logits_NV, _CLASSES, dim=1)):
            total = cross_entropy(logits, values[:, column], ignore_index=_IGNORED, reduction="sum")
            loss = loss + _CLASS_WEIGHTS[column] * total / len(scaled_ND)
        return loss

    def _compute_rate(self) -> float:
        """Return the learning rate: linear warm-up over the first 5 %, cosine decay to 0."""
        done = self.step / self.steps
        return PEAK_RATE * min(1.0, (self.step + 1) / (0.05 * self.steps)) * math.cos(done * math.pi / 2) ** 2

    def write_weights(self) -> None:
        """Write the weights as fp16 safetensors, with all files that transformers needs to load them."""
        import torch
        from transformers import ClapFeatureExtractor

        with torch.no_grad():
            embedding = self.model.text_model.embeddings.word_embeddings.weight
            embedding[~self.seen_tokens.to(embedding.device)] = embedding[
                _SPECIAL_TOKENS.index(UNKNOWN)
            ].clone()
            # Only one temperature is trained, for both directions.
            self.model.logit_scale_t.copy_(self.model.logit_scale_a)
        self.model.cpu().half().eval().save_pretrained(self.folder)
        ClapFeatureExtractor(**FEATURES).save_pretrained(self.folder)
        self.tokenizer.save_pretrained(self.folder)
        (self.folder / "README.md").write_text(_CARD.format(steps=self.steps, seed=self.seed))
        for file in self.folder.iterdir():
            file.chmod(0o644)


def train(
    out: Path,
    seed: int,
    steps: int = STEPS,
    progress: Callable[[int, float], None] | None = None,
    *,
    sizes: ClapSizes = FULL,
) -> dict[str, float]:
    """Train a pocket CLAP from scratch and write weights, configuration and tokenizer to a folder.

    An interrupted training resumes from its last checkpoint, in `OUT.partial/`; `out` itself is
    written at the end. Sounds and captions are of the training split alone.

    Args:
        out: the folder; an earlier one is replaced.
        seed: of the scenes, the batches and the initial weights.
        steps: batches of `sizes.batch` pairs; 2,500 of 64 took 24 minutes on one core that others used
            as well.
        progress: called after each step with its number (from 1) and its loss.
        sizes: of the batches and the training set; a resumed training needs the same, which is not checked.

    Returns:
        `loss` of the last step, `parameters`, and `train_s` and `steps` of this call.

    Raises:
        ConfigError: the checkpoint is of another seed or number of steps.
    """
    started = time.monotonic()
    training = ClapTraining(out.with_name(f"{out.name}.partial"), seed, steps)
    sampler = ClapSampler(seed, sizes)
    first, loss = training.step, float("nan")
    while training.step < steps:
        loss = training.train_step(sampler.draw_batch(training.step))
        if training.step % sizes.checkpoint_every == 0 or training.step == steps:
            training.save()
        if progress is not None:
            progress(training.step, loss)
    training.write_weights()
    (training.folder / "checkpoint.pt").unlink()
    if out.exists():
        shutil.rmtree(out)
    training.folder.replace(out)
    return {
        "loss": loss,
        "parameters": sum(p.numel() for p in training.model.parameters()),
        "train_s": time.monotonic() - started,
        "steps": steps - first,
    }
