"""`kind: table`: links and captions in the columns of a file, whatever they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, model_validator

from pipelines.errors import ConfigError, ListError
from pipelines.source.hub_lists import describe_revision
from pipelines.source.listed.keys import VectorKeys
from pipelines.source.listed.parts import ListedVectors
from pipelines.source.listing import Listing
from pipelines.source.table.cells import Table
from pipelines.source.table.columns import URL_NAMES, FoundColumns, TableColumns, find_columns, list_fields
from pipelines.source.table.delimited import Dialect
from pipelines.source.table.files import TableFiles, TableFormat, find_files
from pipelines.source.table.formats import open_table
from pipelines.source.table.join import JoinKeys, open_join
from pipelines.source.table.kept import Keep, find_kept, make_kept_columns
from pipelines.source.table.media import list_template_columns, make_media_rules
from pipelines.source.table.objects import ObjectTable
from pipelines.source.table.places import TablePlaces
from pipelines.source.table.presets import add_preset, name_preset
from pipelines.source.table.rows import Of, RowRules, find_groups, make_rows_sql
from pipelines.source.table.vectors import open_table_vectors
from pipelines.source.table.where import compile_where
from schemas.dataset import Fetch
from schemas.names import Texts

# The widest lists known have some 60.
_MAX_COLUMNS = 10_000
# Key -> the formats that it is for.
_DIALECT_KEYS: Mapping[str, tuple[TableFormat, ...]] = {
    "header": ("csv", "tsv"),
    "quote": ("csv", "tsv"),
    "comment": ("csv", "tsv", "txt"),
    "at": ("json",),
}


class TableSource(TablePlaces):
    """A table of links."""

    preset: str | None = Field(None, description="a list that is known by name, which gives the other keys")
    format: TableFormat | None = Field(None, description="of the files; that of their names if not given")
    of: Of = "image"
    keep: Keep = Field("none", description="columns to store with each row: all, none, or their names")
    where: str | None = Field(None, description="rows to take, as in: similarity > 0.28 AND punsafe < 0.5")
    id_pattern: str | None = Field(None, description="RE2 of the id, with groups such as (?P<start_s>\\d+)")
    explode: Texts = Field((), description="columns whose cells are lists; each item is a row")
    at: str | None = Field(None, description="key of the list in a JSON document")
    header: bool | tuple[str, ...] = Field(True, description="false for none; or the names of the columns")
    comment: str | None = Field(
        None, min_length=1, description="lines that begin with it are no rows; # for txt"
    )
    quote: str | None = Field('"', min_length=1, max_length=1, description="of fields; null for none")
    join: JoinKeys | None = Field(None, description="another list, whose captions the rows get")
    vectors: VectorKeys | None = Field(
        None, description="vectors that come with the list: a set of their own, and nothing is fetched"
    )

    @model_validator(mode="before")
    @classmethod
    def _take_preset(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        keys = add_preset(value, "table")
        # Texts have nothing to fetch, and neither have rows whose vectors are there already.
        texts = {"take": "text"} if keys.get("of") == "text" or keys.get("vectors") is not None else {}
        return keys | texts

    def open_list(self, fetch: Fetch) -> Listing:  # noqa: ARG002
        """Check the columns of the list, and return it.

        Raises:
            ListError: the list is missing, damaged, or of another format.
            ConfigError: a column is missing, or could be two; `where` or `id_pattern` cannot be used.
        """
        where = f"list {self.list}"
        self.check_places(where)
        with name_preset(self.preset):
            return self._open_list(where)

    def _open_list(self, where: str) -> Listing:
        table, groups, found = self._open_columns(find_files(self.list, self.format), where)
        self._check_ids(found, groups, where)
        cells = {name: f"c{number}" for number, name in enumerate(table.names)}
        wanted = None
        if self.where is not None:
            wanted = compile_where(self.where, cells, where, table.typed, blanks=table.blanks)
        self._check_nested(found, table.names, table.nested, where)
        media = make_media_rules(self, found, cells, groups, where)
        kept = find_kept(self.keep, found, table.names, table.byte_columns, where)
        named = [*list_template_columns(media, found, table.names), *kept.names]
        named += wanted.columns if wanted else ()
        records = table.make_cells([*dict.fromkeys([*_list_used(found, table.names), *named])])
        texts = dict.fromkeys(_list_used(found, table.names))
        nested = [table.find_nested(name) for name in texts if name not in self.explode]
        nested += [table.find_unlisted(name) for name in self.explode]
        items = {name: table.get_items(name) for name in self.explode}
        length_s = self.columns.length_s
        rules = RowRules(
            of=self.of,
            columns=found,
            cells=cells,
            where=wanted.sql if wanted else None,
            id_pattern=self.id_pattern,
            length_s=None if isinstance(length_s, str) else length_s,
            items=items,
            media=media,
            nested=[*filter(None, nested)],
            kept=make_kept_columns(kept, found, cells, table),
        )
        sql, values = make_rows_sql(records.sql, rules, groups)
        vectors = self.open_vectors()
        # With a join the captions are those of the other list, whose note says how many there are.
        guesses = [
            each for each in found.guesses if found.captions or self.join is None or "media alone" not in each
        ]
        notes = [*describe_revision(self.list), *table.notes, *guesses, *filter(None, [kept.note])]
        notes += [vectors.describe()] if vectors else []
        return Listing(
            records.schema,
            records.read_batches,
            sql,
            {**records.values, **values},
            notes,
            open_join(self.join),
        )

    def list_files(self) -> Sequence[str]:
        """See `ListSource`."""
        return find_files(self.list, self.format).urls

    @property
    def vector_keys(self) -> VectorKeys | None:
        """See `ListSource`."""
        return self.vectors

    def open_vectors(self) -> ListedVectors | None:
        """See `ListSource`."""
        if self.vectors is None:
            return None
        files, where = find_files(self.list, self.format), f"list {self.list}"
        if files.format != "parquet":
            raise ConfigError(
                f"{where} is of {files.format}, whose rows have no numbers by which vectors could be found; "
                "write it as parquet, or leave `vectors` out"
            )
        with name_preset(self.preset):
            _, _, found = self._open_columns(files, where)
        return open_table_vectors(self.vectors, files, found, self.of, self.explode)

    def _open_columns(self, files: TableFiles, where: str) -> tuple[Table, tuple[str, ...], FoundColumns]:
        """Return the table, the groups of `id_pattern`, and which column is which."""
        self._check_dialect(files.format, where)
        # URLs do not begin so, and lists of them have such lines.
        is_given = files.format != "txt" or "comment" in self.model_fields_set
        dialect = Dialect(self.header, self.comment if is_given else "#", self.quote)
        table = open_table(files, dialect, self.at, where, self.columns.bytes)
        if isinstance(table, ObjectTable) and self._lacks_names(table.names, where):
            table.add_late_names()
        if len(table.names) > _MAX_COLUMNS:
            raise ListError(
                f"{where} has {len(table.names):,} columns, and {_MAX_COLUMNS:,} are the most; say its "
                "`format:` or `quote:`, or write a list with the columns that are used"
            )
        groups = find_groups(self.id_pattern, where)
        needs_url = "youtube_id" not in groups and self.media is None
        # Texts are known by their words where no column says where they are from.
        known = {name for tier in URL_NAMES for name in tier}
        needs_url = needs_url and (
            self.of != "text" or bool(known & {each.strip().lower() for each in table.names})
        )
        columns = self._name_join_column(table.names)
        found = find_columns(columns, table.names, table.byte_columns, where, needs_url=needs_url)
        return table, groups, found

    def _lacks_names(self, names: Sequence[str], where: str) -> bool:
        """Return whether the head of a list may lack a column that is wanted."""
        if self.keep == "all":
            return True
        try:
            if self.where is not None:
                compile_where(self.where, dict.fromkeys(names, "NULL"), where)
            columns = self._name_join_column(names)
            found = find_columns(columns, names, (), where, needs_url=self.columns.url is None)
            find_kept(self.keep, found, names, (), where)
        except ConfigError:
            return True
        return columns.caption is None and not found.captions

    def _check_dialect(self, found: TableFormat, where: str) -> None:
        """Refuse keys of another format: they would be left out without a word."""
        # A preset may say how its list is written in any of its formats.
        wrong = (
            []
            if self.preset
            else [
                key
                for key, formats in _DIALECT_KEYS.items()
                if key in self.model_fields_set and found not in formats
            ]
        )
        if wrong:
            raise ConfigError(
                f"{where} is of {found}, where {', '.join(f'`{key}`' for key in wrong)} mean nothing; leave "
                "them out, or say another `format:`"
            )

    def _name_join_column(self, names: Sequence[str]) -> TableColumns:
        """Return the columns, with the one that the list is joined on if it is called so."""
        if self.join is None or self.join.on == "url" or self.columns.id or self.columns.key:
            return self.columns
        on = self.join.on
        return self.columns.model_copy(update={on: on}) if on in names else self.columns

    def _check_ids(self, found: FoundColumns, groups: tuple[str, ...], where: str) -> None:
        if groups and "id" not in found.others:
            raise ConfigError(
                f"{where}: id_pattern is for the column `id`; name it, as in `columns: {{id: ...}}`"
            )
        if self.join is not None and self.join.on != "url" and not {"id", "key"} & {*found.others}:
            raise ConfigError(
                f"{where}: join is on {self.join.on}, which is the column `id` of this list; name it, as in "
                "`columns: {id: ...}`"
            )

    def _check_nested(
        self, found: FoundColumns, names: Sequence[str], nested: frozenset[str], where: str
    ) -> None:
        for name in self.explode:
            if name not in found.captions:
                raise ConfigError(
                    f"{where}: explode names {name!r}, which is no column of captions; leave it out"
                )
        for column in _list_used(found, names):
            if column in nested and column not in self.explode:
                raise ConfigError(
                    f"{where}: the cells of {column!r} are lists or structures; name a column of texts, or "
                    f"say `explode: [{column}]` if each item is a caption"
                )


def _list_used(found: FoundColumns, names: Sequence[str]) -> list[str]:
    by_lower = {name.lower(): name for name in names}
    used = [] if found.url is None else [found.url]
    for caption in found.captions:
        fields = [caption] if caption in names else list_fields(caption)
        used += [by_lower[field.lower()] if field not in names else field for field in fields]
    return [*used, *found.others.values()]


SOURCES = {"table": TableSource}
