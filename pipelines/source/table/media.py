"""The SQL of where the media of a row are, and of why a row names a place that it must not."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from pipelines.errors import ConfigError
from pipelines.source.table.cells import make_literal
from pipelines.source.table.columns import FoundColumns
from pipelines.source.table.places import TablePlaces, make_folder_url

_WEB, _SCHEME = "'^(?i)https?:'", "'^[A-Za-z][A-Za-z0-9+.-]+:'"
_FILE_URL = "'^(?i)(?:file|tar|zip):(?://(?:localhost)?)?'"
# Two points between slashes, however they are written.
_LEADS_UP = r"'(?i)(?:^|/)(?:\.|%2e){2}(?:[/?#]|$)'"
# The member of an archive: what follows is a path in it.
_MEMBER = r"'(?i)^(.*?\.(?:tar|tar\.gz|tgz|zip))%23'"
# The literals of a template of the web up to a field of its path or query.
_WEB_PATH = re.compile(r"(?i)https?://[^/]*/")
# No path of anybody: quotes, a host without its scheme, or a word such as the name of a column.
_NO_PATH = (
    r"'(?i)^(?:[\"<''].*|www\..*|//.*|[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}(?::[0-9]+)?/.*|[^/.\\]+)$'"
)
# An optional width of a whole number, with or without leading zeros.
_WHOLE_NUMBER = re.compile(r"0?\d{0,3}d?")


@dataclass(frozen=True)
class TemplateField:
    """A field of a media template.

    Attributes:
        name: a role of a column, or a column.
        form: of a whole number, as in 06d; empty for none.
    """

    name: str
    form: str


@dataclass(frozen=True)
class MediaRules:
    """Where the media of a list's rows are.

    Attributes:
        in_cells: whether they are in the table, whose cell `place` says where.
        template: texts and fields of the media template; empty for none.
        folders: prefixes of URLs below which rows may name files of this machine; the first is stored.
        stores: prefixes of URLs of objects.
        is_fetched: whether any media are; texts name no places.
        has_url: whether the list has URLs beside its template.
        columns: column -> its SQL.
    """

    in_cells: bool = False
    template: Sequence[str | TemplateField] = ()
    folders: Sequence[str] = ()
    stores: Sequence[str] = ()
    is_fetched: bool = True
    has_url: bool = True
    columns: Mapping[str, str] = field(default_factory=dict)

    def make_columns(self, found: Mapping[str, str]) -> dict[str, str]:
        """Return the columns of a row that say where its media are: name -> SQL, each of those before it.

        Args:
            found: the other columns of a row.
        """
        if not self.is_fetched:
            return {}
        url = f"nullif(tidy({found['url']}), '')"
        if self.in_cells:
            return {"media_url": "place", "url": f"coalesce({url}, place)"}
        if not self.template and not self.folders:
            # It is only asked for what is wrong with it; tidying 5 million URLs takes 2.4 s.
            is_web = " OR ".join(
                f"starts_with({found['url']}, '{scheme}://')" for scheme in ("http", "https")
            )
            return {"media_name": f"CASE WHEN {is_web} THEN {found['url']} ELSE tidy({found['url']}) END"}
        named = {"media_name": f"tidy({self._fill_template(found) if self.template else found['url']})"}
        named["media_place"] = self._make_place()
        if not self.template:
            return named | {"url": "media_place"}
        if self.has_url:
            return named | {"media_url": "media_place", "url": f"coalesce({url}, media_place)"}
        # The file is the clip itself, and no URL of a recording says so.
        is_cut = any(isinstance(each, TemplateField) and each.name == "start_s" for each in self.template)
        return named | {"url": "media_place"} | ({"start_s": "NULL::DOUBLE"} if is_cut else {})

    def make_faults(self) -> list[str]:
        """Return the SQL of why a row names a place that it must not; it reads what `make_columns` makes."""
        if not self.is_fetched or self.in_cells:
            return []
        place = "media_place" if self.template or self.folders else "media_name"
        leads_up = f"regexp_matches({place}, {_LEADS_UP})"
        local = f"CASE WHEN regexp_matches(media_name, {_NO_PATH}) THEN 'no_scheme' ELSE 'local_file' END"
        if self.folders:
            is_below = f"starts_with({place}, {make_literal(self.folders[0])})"
            local = f"CASE WHEN {leads_up} OR NOT {is_below} THEN 'path_out' END"
        stores = (f"starts_with(media_name, {make_literal(store)})" for store in self.stores)
        is_stored = " OR ".join(stores) or "false"
        # fsspec would open another place behind `::`.
        store = f"CASE WHEN {leads_up} OR contains(media_name, '::') OR NOT ({is_stored}) THEN 'store' END"
        return [
            f"CASE WHEN media_name = '' OR regexp_matches(media_name, {_WEB}) THEN NULL "
            f"WHEN {_is_local('media_name')} THEN {local} WHEN contains(media_name, '://') THEN {store} END"
        ]

    def _make_place(self) -> str:
        """Return the SQL of the URL of a path below `folders`; of what is no path, itself."""
        if not self.folders:
            return "media_name"
        first = make_literal(self.folders[0])
        escaped = "replace(url_encode(media_name), '%2F', '/')"
        path = f"regexp_replace({escaped}, {_MEMBER}, '\\1#')"
        is_url = f"regexp_matches(media_name, {_FILE_URL})"
        rest = f"regexp_replace(media_name, {_FILE_URL}, '')"
        absolute = f"('file://' || CASE WHEN {is_url} THEN {rest} ELSE {path} END)"
        for folder in self.folders[1:]:
            is_other = f"starts_with({absolute}, {make_literal(folder)})"
            absolute = (
                f"CASE WHEN {is_other} THEN {first} || {absolute}[{len(folder) + 1}:] ELSE {absolute} END"
            )
        return (
            f"CASE WHEN media_name = '' OR NOT {_is_local('media_name')} THEN media_name "
            f"WHEN {is_url} OR media_name[1] = '/' THEN {absolute} "
            f"ELSE {first} || regexp_replace({path}, '^(?:\\./)+', '') END"
        )

    def _fill_template(self, found: Mapping[str, str]) -> str:
        """Return the SQL of a template; of a row that lacks a field, nothing."""
        parts, needed, literals = [], [], ""
        for part in self.template:
            if isinstance(part, str):
                parts.append(make_literal(part))
                literals += part
                continue
            value = self._get_field(part, found)
            # A `#` or `?` of a name would end the path; a field within the host stays as it is.
            is_escaped = _WEB_PATH.match(literals) is not None
            escaped = f"replace(url_encode({value}), '%2F', '/')"
            parts.append(escaped if is_escaped else f"coalesce({value}, '')")
            needed.append(f"coalesce({value}, '') = ''")
        lacking = " OR ".join(needed) or "false"
        return f"CASE WHEN {lacking} THEN '' ELSE {' || '.join(parts)} END"

    def _get_field(self, part: TemplateField, found: Mapping[str, str]) -> str:
        if part.name in ("start_s", "length_s"):
            if part.form:
                form = make_literal(f"{{:{part.form}}}")
                return f"format({form}, CAST(floor({found[part.name]}) AS BIGINT))"
            return f"CAST({found[part.name]} AS VARCHAR)"
        return f"trim(CAST({self.columns[part.name]} AS VARCHAR))"


def make_media_rules(
    places: TablePlaces, found: FoundColumns, cells: Mapping[str, str], groups: Sequence[str], where: str
) -> MediaRules:
    """Return where the media of a list are.

    Args:
        places: the keys that say so.
        found: the columns of the list.
        cells: column -> its SQL.
        groups: of `id_pattern`.
        where: the list, for errors.

    Raises:
        ConfigError: the media template cannot be read, or names what a row has not.
    """
    folders: list[str] = []
    if places.files is not None:
        given, real = (
            make_folder_url(places.files),
            f"file://{quote(os.fsencode(os.path.realpath(places.files)))}/",
        )
        folders = [*dict.fromkeys((given, real))]
    said = {*found.others, *groups}
    times = [name for name, other in (("start_s", "start_ms"), ("length_s", "end_s")) if {name, other} & said]
    columns = {role: cells[name] for role, name in found.others.items()}
    columns = {name.lower(): sql for name, sql in cells.items()} | columns
    return MediaRules(
        in_cells=found.bytes is not None,
        template=_parse_template(places.media, columns, times, where) if places.media else (),
        folders=folders,
        stores=places.stores,
        is_fetched=places.take == "media",
        has_url=found.url is not None or "youtube_id" in groups,
        columns=columns,
    )


def list_template_columns(rules: MediaRules, found: FoundColumns, names: Sequence[str]) -> list[str]:
    """Return the columns of a list that its media template names beside those of roles."""
    fields = [part.name for part in rules.template if isinstance(part, TemplateField)]
    return [name for name in names if name.lower() in fields and name.lower() not in found.others]


def _parse_template(
    template: str, columns: Mapping[str, str], times: Sequence[str], where: str
) -> list[str | TemplateField]:
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(f"{where}: media {template!r} cannot be read ({error}); pair its braces") from error
    is_file = template.lower().startswith("file://")
    parts: list[str | TemplateField] = []
    for number, (literal, name, form, conversion) in enumerate(parsed):
        # A path is escaped when its fields are filled in.
        bare = unquote(literal[len("file://") :] if number == 0 else literal) if is_file else literal
        parts += [bare] if bare else []
        if name is None:
            continue
        known = [*dict.fromkeys([*times, *columns])]
        if name.lower() not in known or conversion:
            shown = ", ".join(f"{{{each}}}" for each in known[:12])
            raise ConfigError(
                f"{where}: media {template!r} has {{{name}}}, and a row has {shown}; name one of those"
            )
        if form and not (name in times and _WHOLE_NUMBER.fullmatch(form)):
            raise ConfigError(
                f"{where}: media {template!r} has the format {form!r} for {name}, and only start_s and "
                "length_s of the list can have one, such as 06d; take it out"
            )
        parts.append(TemplateField(name.lower(), form or ""))
    return parts


def _is_local(name: str) -> str:
    return f"(NOT regexp_matches({name}, {_SCHEME}) OR regexp_matches({name}, {_FILE_URL}))"
