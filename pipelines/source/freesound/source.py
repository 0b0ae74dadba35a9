"""`kind: freesound`: sounds that Freesound's API finds, as clips of their previews.

    sources:
      - {kind: freesound, list: lists/dogs, query: "dog bark", filter: "duration:[1 TO 30]", label: dog}

`list` is a folder that the answers are kept in. A key of Freesound has 60 requests a minute and 2,000 a day;
a list that takes longer stops with a sentence, and the next run of the same command goes on. A list that is
whole is not asked for again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.errors import ListError
from pipelines.source.freesound.answers import AnswerFolder, SoundQuery
from pipelines.source.freesound.api import open_api
from pipelines.source.freesound.licences import FILTERS, is_of, name_licence
from pipelines.source.listed.keys import VectorKeys
from pipelines.source.listed.parts import ListedVectors, open_parts
from pipelines.source.listing import Listing, ListSource, list_rows
from pipelines.source.parquet_lists import open_parquet
from schemas.dataset import Fetch
from schemas.names import Texts

_BATCH_ROWS = 1_000
_CAPTION_FIELDS = ("name", "description", "tags", "category", "subcategory")
_FIELD = re.compile(r"\{([^{}]*)\}")
_NO_GEN_AI = "no-gen-ai"
_GEN_AI = ("no-additional-preferences", "open-source-models", "noncommercial-open-source-models")


class FreesoundSource(ListSource):
    """Sounds of Freesound."""

    hosts: ClassVar[Literal["web", "youtube", "local"]] = "web"

    query: str = Field("", max_length=1000, description="words; empty finds everything")
    filter: str = Field("", max_length=4000, description="of Freesound, as in duration:[1 TO 30] tag:dog")
    sort: str = Field("created_asc", pattern=r"^(score|(duration|created|downloads|rating)_(asc|desc))$")
    most: int | None = Field(None, ge=1, description="sounds to list; all that are found if unset")
    licences: Texts = Field((), description=f"to take, of {', '.join(FILTERS)}; empty takes all")
    gen_ai: Texts = Field(_GEN_AI, description="preferences of authors to take, beside none")
    preview: Literal["hq-ogg", "hq-mp3", "lq-ogg", "lq-mp3"] = "hq-ogg"
    caption: str = Field("{name}. {description}", description="a template over name, description, tags, ...")
    label: str | None = Field(None, description="of all its rows")
    length_s: float = Field(10.0, gt=0, le=600, description="of a clip; longer sounds are cut")
    token: str = Field("$FREESOUND_TOKEN", pattern=r"^\$[A-Za-z_][A-Za-z0-9_]*$")
    api: str = Field("https://freesound.org/apiv2", description="address of the API")
    vectors: VectorKeys | None = Field(
        None, description="those that come with the sounds, as in {column: sim_laion_clap, space: NAME}"
    )

    @field_validator("licences")
    @classmethod
    def _check_licences(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if name not in FILTERS]:
            raise ValueError(f"{unknown[0]!r} is no licence of Freesound; take of {', '.join(FILTERS)}")
        return names

    @field_validator("gen_ai")
    @classmethod
    def _check_gen_ai(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in names if name not in (*_GEN_AI, _NO_GEN_AI)]:
            raise ValueError(f"{unknown[0]!r} is no preference; take of {', '.join((*_GEN_AI, _NO_GEN_AI))}")
        return names

    @field_validator("caption")
    @classmethod
    def _check_caption(cls, template: str) -> str:
        if wrong := [name for name in _FIELD.findall(template) if name not in _CAPTION_FIELDS]:
            raise ValueError(f"{{{wrong[0]}}} is no field of a caption; take of {', '.join(_CAPTION_FIELDS)}")
        return template

    @model_validator(mode="before")
    @classmethod
    def _take_texts(cls, value: Any) -> Any:
        # Sounds whose vectors are there already have nothing to fetch.
        return value | {"take": "text"} if isinstance(value, dict) and value.get("vectors") else value

    @model_validator(mode="after")
    def _check_vectors(self) -> FreesoundSource:
        if self.vectors and not (
            isinstance(self.vectors.column, str) and re.fullmatch(r"sim_[a-z0-9_]+", self.vectors.column)
        ):
            raise ValueError("vectors of Freesound are in a column such as sim_laion_clap; name it")
        if "://" in self.list:
            raise ValueError("list is a folder of this machine, which Freesound's answers are kept in")
        return self

    def prepare(self, fetch: Fetch, contact: str | None, report: Callable[[str, int], None]) -> None:
        """Ask Freesound for what the folder does not have yet.

        Raises:
            StopJob: the requests of a day are used up, or the API does not answer; the next run goes on.
            ConfigError: the token is missing or refused, or there is no contact.
            ListError: the search is refused, or the folder holds answers to another one.
        """
        make_api = partial(open_api, self.api, self.token.removeprefix("$"), fetch, contact)
        self._folder.collect(self._make_query(), self.most, make_api, report)

    def open_list(self, fetch: Fetch) -> Listing:  # noqa: ARG002
        """Return the sounds, in the order of the answers.

        Raises:
            ListError: they have not been asked for.
        """
        files = self.list_files()
        if not files:
            raise ListError(f"list {self.list} holds no answers of Freesound yet; run `echolens plan` first")
        notes: MutableSequence[str] = []
        listing = list_rows(self, partial(self._read_rows, files, notes))
        vectors = self.open_vectors()
        return replace(listing, notes=[vectors.describe()] if vectors else [], list_notes=lambda: notes)

    def list_files(self) -> Sequence[str]:
        """See `ListSource`."""
        return self._folder.list_files()

    @property
    def vector_keys(self) -> VectorKeys | None:
        """See `ListSource`."""
        return self.vectors

    def open_vectors(self) -> ListedVectors | None:
        """See `ListSource`."""
        if self.vectors is None:
            return None
        return open_parts(self.vectors, self.list_files(), self.list, "audio", "preview_url", None)

    @property
    def _folder(self) -> AnswerFolder:
        return AnswerFolder(Path(self.list), self.list)

    def _make_query(self) -> SoundQuery:
        names = " OR ".join(f'"{FILTERS[name]}"' for name in self.licences)
        asked = " ".join(filter(None, [self.filter, f"license:({names})" if names else ""]))
        vectors = self.vectors.column if self.vectors else None
        return SoundQuery(self.query, asked, self.sort, self.preview, str(vectors or ""))

    def _read_rows(self, files: Sequence[str], notes: MutableSequence[str]) -> Iterator[Mapping[str, Any]]:
        """Yield a row for each sound; what is known once they are read goes into `notes`."""
        unknown: set[str] = set()
        left = self.most
        columns = None
        for file in files:
            stream = open_parquet(file)
            columns = [name for name in stream.schema.names if not name.startswith("sim_")]
            for batch in stream.iterate(columns, _BATCH_ROWS):
                sounds = batch.to_pylist()[:left]
                left = None if left is None else left - len(sounds)
                for sound in sounds:
                    licence = name_licence(sound["license"] or "")
                    unknown |= {licence} if "/" in licence else set()
                    yield self._make_row(sound, licence)
        if unknown:
            shown = ", ".join(sorted(unknown)[:3])
            notes.append(f"list {self.list}: licences that nobody here knows are stored as they are: {shown}")

    def _make_row(self, sound: Mapping[str, Any], licence: str) -> dict[str, Any]:
        preference = sound["gen_ai_preference"]
        ruled_out = None
        if preference is not None and preference not in self.gen_ai:
            ruled_out = "no_gen_ai"
        elif self.licences and not any(is_of(licence, name) for name in self.licences):
            ruled_out = "licence"
        kept = {
            "freesound_id": sound["id"],
            "gen_ai_preference": preference or "unknown",
            "licence_url": sound["license"] or "unknown",
            "sound_s": sound["duration"],
            "tags": sound["tags"] or "",
        }
        words = {name: (sound[name] or "").strip().rstrip(".") for name in _CAPTION_FIELDS}
        caption = _FIELD.sub(lambda found: words[found[1]], self.caption)
        return {
            "kind": "clip",
            "url": sound["preview_url"] or "",
            "text": json.dumps({"id": sound["id"], "name": sound["name"]}),
            "start_s": 0.0,
            "length_s": min(self.length_s, sound["duration"] or self.length_s),
            "caption": caption.strip(" ."),
            "label": self.label,
            "page_url": sound["url"],
            "attribution": sound["username"],
            "licence": licence or None,
            "source_key": None if sound["id"] is None else str(sound["id"]),
            "kept": json.dumps(kept, ensure_ascii=False),
            "ruled_out": ruled_out,
        }


SOURCES = {"freesound": FreesoundSource}
