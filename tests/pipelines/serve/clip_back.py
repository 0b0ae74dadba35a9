"""clip-retrieval's back end over one index, on loopback: `clip_back.py FOLDER PORT` in its environment.

FOLDER holds image.index and metadata/*.parquet. CLIP itself is left out: its weights come from a hub, and
queries by vector do not use it. All the rest is theirs, with its defaults and a mapped index.
"""

import json
import sys
from pathlib import Path

import all_clip
import flask
from clip_retrieval.clip_back import clip_back

_run = flask.Flask.run


def _run_on_loopback(app, host=None, **options):
    _run(app, host="127.0.0.1", **options)


if __name__ == "__main__":
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    flask.Flask.run = _run_on_loopback
    all_clip.load_clip = lambda *_, **__: (None, None, None)
    paths = folder / "indices.json"
    paths.write_text(json.dumps({"synthetic": str(folder)}))
    clip_back(
        indices_paths=str(paths),
        port=port,
        enable_faiss_memory_mapping=True,
        enable_mclip_option=False,
        use_jit=False,
        provide_safety_model=False,
        provide_violence_detector=False,
        provide_aesthetic_embeddings=False,
    )
