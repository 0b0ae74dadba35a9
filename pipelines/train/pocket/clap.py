"""Trains the pocket CLAP: a real transformers `ClapModel` of 1.2 M parameters, for the demo and the tests.

It loads as the real ones do (`ClapModel.from_pretrained(FOLDER)`) and knows only the miniature
world's 24 kinds of things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pipelines.miniature import captions
from pipelines.train.distributed import WorkerGroup
from pipelines.train.losses import symmetric_info_nce
from pipelines.train.optimizers import make_optimizer
from pipelines.train.pocket.clap_data import ATTRIBUTES, FEATURES, MELS, UNKNOWN, ClapSampler
from pipelines.train.task import StepDraw, StepLoss, TaskContext
from pipelines.train.whole_batch import Vectors, WholeBatchTask
from schemas.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

CONTEXT = 77  # tokens, as many as laion_clap takes
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


@dataclass
class PocketClap(WholeBatchTask):
    """The task: sounds and texts of the training split, matched by soft targets and by their attributes.

    Attributes:
        draws: training sounds; each is rendered when first needed and cached (37 kB each).
        kinds_a_batch: of 24. Eight sounds a kind reward pitch, count and background; with all kinds in a
            batch they were not learned.
    """

    draws: int = 8_000
    kinds_a_batch: int = 8

    def open(self, context: TaskContext) -> Self:
        """Begin to draw."""
        self._tokenizer = make_word_tokenizer()
        recipe = context.recipe
        self._sampler = ClapSampler(recipe.seed, recipe.batch, self.draws, self.kinds_a_batch)
        return super().open(context)

    def build(self, seed: int) -> nn.Module:  # noqa: ARG002 - the trainer has set it
        """Return a random CLAP, with prototypes of the attributes and a buffer of the tokens it has seen."""
        import torch
        from transformers import ClapModel

        model: Any = ClapModel(make_model_config())
        # Both are for training alone: only the towers are written.
        model.prototypes_VD = torch.nn.Parameter(0.05 * torch.randn(sum(_CLASSES), _DIMS))
        # The tokens not seen in training get the embedding of the unknown word, not random weights.
        model.register_buffer("seen_tokens", torch.zeros(len(make_word_tokenizer()), dtype=torch.bool))
        net: nn.Module = model
        return net

    def make_optimizer(self, net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
        """Return AdamW with weight decay for matrices; the prototypes do not count in the gradient's norm."""
        model: Any = net
        weights = [each for each in net.parameters() if each is not model.prototypes_VD]
        decay = recipe.optimizer.weight_decay
        groups: list[dict[str, Any]] = [
            {"params": [each for each in weights if each.ndim >= 2], "weight_decay": decay},
            {"params": [each for each in weights if each.ndim < 2], "weight_decay": 0.0},
            {"params": [model.prototypes_VD], "weight_decay": decay, "clip": False},
        ]
        return make_optimizer(groups, recipe.optimizer)

    def make_batch(self, step: int, group: WorkerGroup) -> dict[str, Tensor]:
        """Return windows, tokens and attributes, the targets of all pairs and the tokens of all workers."""
        import torch

        rows = group.slice_batch(self.context.recipe.batch)
        batch = self._sampler.draw_batch(step, rows)
        tokens = self._tokenizer(batch.texts, padding=True, return_tensors="pt")
        arrays = {
            "windows": batch.windows,
            "values": batch.values[rows],
            "mentioned": np.where(batch.mentioned, batch.values, _IGNORED)[rows],
            "targets": batch.targets,
        }
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        tensors |= {"tokens": tokens["input_ids"][rows], "mask": tokens["attention_mask"][rows]}
        tensors["seen"] = tokens["input_ids"].unique()
        return {name: tensor.to(self.context.device) for name, tensor in tensors.items()}

    def embed(self, net: nn.Module, batch: Mapping[str, Tensor], draw: StepDraw) -> Vectors:
        """Return unit vectors of sounds and texts, `[N, 512]` each."""
        with draw.use_autocast():
            output = net(
                input_features=batch["windows"],
                input_ids=batch["tokens"],
                attention_mask=batch["mask"],
            )
        return output.audio_embeds.float(), output.text_embeds.float()

    def compute_criterion(
        self, net: nn.Module, vectors: Vectors, batch: Mapping[str, Tensor], group: WorkerGroup
    ) -> StepLoss:
        """Return InfoNCE with soft targets, plus the cross entropies of the attributes."""
        model: Any = net
        model.seen_tokens[batch["seen"]] = True
        audio_ND, text_ND = vectors
        scale = model.logit_scale_a.exp().clamp(max=100)
        loss = group.share_value(
            symmetric_info_nce(
                group.gather_all(audio_ND),
                group.gather_all(text_ND),
                group.share_gradient(scale),
                batch["targets"],
            )
        )
        count = len(audio_ND) * group.size
        loss = loss + _compute_class_loss(model, scale * audio_ND, batch["values"], count)
        return StepLoss(loss + _compute_class_loss(model, scale * text_ND, batch["mentioned"], count))

    def save(self, net: nn.Module, folder: Path) -> None:
        """Write a folder that transformers loads, weights as fp16 safetensors."""
        import torch
        from transformers import ClapFeatureExtractor

        model: Any = net
        with torch.no_grad():
            embedding = model.text_model.embeddings.word_embeddings.weight
            embedding[~model.seen_tokens] = embedding[_SPECIAL_TOKENS.index(UNKNOWN)].clone()
            # Only one temperature is trained, for both directions.
            model.logit_scale_t.copy_(model.logit_scale_a)
        del model.prototypes_VD, model.seen_tokens
        model.cpu().half().eval().save_pretrained(folder)
        ClapFeatureExtractor(**FEATURES).save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)
        recipe = self.context.recipe
        (folder / "README.md").write_text(
            _CARD.format(steps=recipe.steps, seed=recipe.seed), encoding="utf-8"
        )
        for file in folder.iterdir():
            file.chmod(0o644)


def _compute_class_loss(model: Any, scaled_ND: Tensor, values_N4: Tensor, count: int) -> Tensor:
    """Return the weighted cross entropy of the attributes of vectors; `_IGNORED` values are left out.

    Args:
        model: with the prototypes.
        scaled_ND: vectors, scaled.
        values_N4: their attributes.
        count: of the vectors of all workers.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize

    logits_NV = scaled_ND @ normalize(model.prototypes_VD, dim=-1).T
    loss = torch.zeros((), device=scaled_ND.device)
    for column, logits in enumerate(torch.split(logits_NV, _CLASSES, dim=1)):
        total = cross_entropy(logits, values_N4[:, column], ignore_index=_IGNORED, reduction="sum")
        loss = loss + _CLASS_WEIGHTS[column] * total / count
    return loss


TASKS = {"pocket_clap": PocketClap}
