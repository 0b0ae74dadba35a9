"""A ClipCap checkpoint and the vocabulary of a GPT-2 -> the folder of a captioner.

python -m pipelines.generate.captioner.convert conceptual_weights.pt --gpt2 /models/gpt2 --out /models/clipcap

echolens generate ROOT --generator captioner --column clip_image       # generator: {weights: /models/clipcap}
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.encode.loaders.weights import load_tensors
from pipelines.errors import ConfigError
from pipelines.generate.captioner.tokenizer import load_caption_tokenizer
from pipelines.models.captioner_checkpoints import convert_clipcap
from pipelines.models.prefix_captioner import PrefixCaptioner, load_weights, save_captioner
from schemas.captioner import CaptionerCard
from schemas.families import Family

NORM = 10.0


def convert_checkpoint(
    checkpoint: Path, gpt2: Path, out: Path, family: Family = "clip", norm: float = NORM
) -> CaptionerCard:
    """Write a captioner, and return its card. Nothing is left behind if it cannot be converted.

    Args:
        checkpoint: of ClipCap's train.py, read with `weights_only`.
        gpt2: a folder with the vocabulary: vocab.json and merges.txt, or tokenizer.json.
        out: a folder that does not exist yet.
        family: of the vectors that it reads.
        norm: that every vector is given; 1 if it was trained with `normalize_prefix`.

    Raises:
        ConfigError: it is no ClipCap, the vocabulary does not fit, or the folder exists.
    """
    import torch

    if out.exists():
        raise ConfigError(f"{out} exists already; name another folder, or remove it")
    if not checkpoint.is_file():
        raise ConfigError(f"there is no file {checkpoint}; give a checkpoint of ClipCap")
    state = load_tensors("converter", checkpoint)
    is_named = isinstance(state, Mapping) and all(isinstance(each, torch.Tensor) for each in state.values())
    if not is_named:
        raise ConfigError(f"{checkpoint} holds no tensors by name; give the state_dict of a ClipCap")
    card, weights = convert_clipcap(state, checkpoint.name, family, norm)
    tokenizer = load_caption_tokenizer(gpt2, card.gpt2)
    with torch.device("meta"):
        net = PrefixCaptioner(card)
    net = net.to_empty(device="cpu")
    load_weights(net, weights)
    scratch = out.with_name(f"{out.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    save_captioner(net, scratch)
    tokenizer.save(scratch)
    scratch.replace(out)
    return card


def main(argv: Sequence[str] | None = None) -> None:
    """Convert a checkpoint that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="of ClipCap, with an MLP as its mapper")
    parser.add_argument("--gpt2", type=Path, required=True, help="folder with the vocabulary of GPT-2")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--family", default="clip", help="of the vectors; clip if not given")
    parser.add_argument("--norm", type=float, default=NORM, help="of every vector; 1 for normalize_prefix")
    args = parser.parse_args(argv)
    card = convert_checkpoint(args.checkpoint, args.gpt2, args.out, args.family, args.norm)
    print(f"{args.out}: a prefix of {card.prefix} tokens, {card.gpt2.vocabulary:,} words")


if __name__ == "__main__":
    main()
