"""Encoders of random weights, saved as the real libraries save theirs."""

import json

CLIP = {
    "model_cfg": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "resize_mode": "shortest"},
}
CLAP_TEXT = {
    "hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4, "num_hidden_layers": 2,
    "vocab_size": 1000, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1,
    "max_position_embeddings": 40,
}  # fmt: skip
CLAP_AUDIO = {
    "spec_size": 64, "window_size": 4, "num_mel_bins": 16, "depths": [1, 1], "num_attention_heads": [2, 2],
    "num_hidden_layers": 2, "hidden_size": 64, "patch_size": 4, "patch_stride": [4, 4],
    "patch_embeds_hidden_size": 32,
}  # fmt: skip


def save_clip(folder):
    """Save a random CLIP as open_clip's `local-dir:` reads it."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = open_clip.CLIP(**CLIP["model_cfg"])
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CLIP))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def save_clap(folder, truncation="rand_trunc", vocabulary=True):
    """Save a random ClapModel with its processor, as `from_pretrained` reads it."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor, RobertaTokenizer

    torch.manual_seed(0)
    audio = CLAP_AUDIO | {"enable_fusion": truncation == "fusion"}
    model = ClapModel(ClapConfig(text_config=CLAP_TEXT, audio_config=audio, projection_dim=20))
    extractor = ClapFeatureExtractor(
        feature_size=16, max_length_s=1, truncation=truncation, frequency_min=50, frequency_max=14_000
    )
    words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *(sorted(ByteLevel.alphabet()) if vocabulary else ())]
    tokenizer = RobertaTokenizer(
        vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77
    )
    model.save_pretrained(folder)
    ClapProcessor(extractor, tokenizer).save_pretrained(folder)
    return folder
