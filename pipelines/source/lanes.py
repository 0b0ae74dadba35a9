"""Candidates -> the order in which they are fetched, and where it is cut into shards.

| lane  | rows                                                                    | order                    |
|-------|-------------------------------------------------------------------------|--------------------------|
| web   | hosts without a lane of their own                                       | shuffled by URL and seed |
| HOST  | a host with a limit, or with many of the rows                           | that of the lists        |
| *.DOM | all hosts that share the limit of a domain                              | that of the lists        |
| local | media that are on no web host: `file://`, `s3://`, ...                  | that of the lists        |
| none  | texts: nothing to fetch                                                 | that of the lists        |

Neighbours in `web` are on different hosts. All rows of one URL are in one shard, so it is fetched once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.errors import ConfigError
from pipelines.fetch.ratelimit.limits import HostLimits
from pipelines.fetch.urls import parse_url
from schemas.candidate import KINDS, SHARD_DIGITS
from schemas.plan import LaneCounts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# A host with a larger share of the rows would delay every shard of `web`.
LARGE_SHARE = 0.05
# With fewer rows to fetch a share means little, and lanes would be shards of a few rows.
MIN_ROWS_FOR_LANES = 500
# Rows of shards that take long: clips, and pictures of limited hosts. A kill loses the open shards.
SLOW_SHARD_ROWS = 100
# With more slow shards than this, each gets more rows: all of WIT would be 370,000 shards of 100.
MAX_SLOW_SHARDS = 50_000

_HOSTED = r"""
CREATE TABLE hosted AS
SELECT seq, kind, md5_number(address) AS place, md5_number_upper(concat($seed::BIGINT, ':', address)) AS turn,
    CASE WHEN media_url IS NULL THEN '/none'
         WHEN authority <> '' THEN coalesce(canonical_hosts.host, authority)
         WHEN contains(media_url, '://') AND NOT regexp_matches(media_url, '^(?i)https?:') THEN '/local'
         ELSE '' END AS host
FROM (SELECT seq, kind, media_url, coalesce(media_url, url) AS address, authority_of(media_url) AS authority
      FROM listed SEMI JOIN kept USING (seq) WHERE ruled_out IS NULL)
LEFT JOIN canonical_hosts USING (authority)
"""
# Hosts that are not in their one spelling already: with upper case, a port, letters beyond ASCII, ...
_ODD_HOSTS = r"""
SELECT DISTINCT authority_of(media_url) AS authority FROM listed SEMI JOIN kept USING (seq)
WHERE ruled_out IS NULL AND authority <> ''
    AND NOT regexp_full_match(authority, '(?:[a-z0-9_-]+\.)*[a-z][a-z_-]*')
"""
_SETUP = r"""
CREATE MACRO authority_of(address) AS regexp_extract(address, '^(?i)https?://([^/?#]*)', 1);
CREATE TABLE canonical_hosts (authority VARCHAR, host VARCHAR)
"""
_ODD_HOSTS_AT_ONCE = 10_000
# Hosts that may have a limit; Python finds the longest pattern that matches.
_MAY_BE_LIMITED = """
SELECT DISTINCT host FROM hosted WHERE list_contains($hosts::VARCHAR[], host)
    OR len(list_filter($domains::VARCHAR[], lambda name: name = host OR ends_with(host, '.' || name))) > 0
"""
_SHARE = "UPDATE hosted SET host = $lane WHERE list_contains($hosts::VARCHAR[], host)"
_FETCHABLE = "SELECT count(*) FROM hosted WHERE host NOT IN ('/none', '/local')"
_HOSTS = """
SELECT host FROM hosted WHERE host NOT IN ('web', 'local', 'none') GROUP BY host
HAVING list_contains($limited::VARCHAR[], host)
    OR ($fetchable >= $min_rows::BIGINT AND count(*) > $share::DOUBLE * $fetchable)
"""
_WANTED = """
CREATE TABLE wanted AS
SELECT seq, kind, place, turn,
    CASE WHEN list_contains($lanes::VARCHAR[], host) THEN ltrim(host, '/') ELSE 'web' END AS lane
FROM hosted
"""
_LANES = """
CREATE TABLE lanes AS
SELECT kind, lane, row_number() OVER (ORDER BY list_position($kinds::VARCHAR[], kind), lane <> 'web', lane)
    AS lane_number
FROM (SELECT DISTINCT kind, lane FROM wanted)
"""
_GROUPS = """
CREATE TABLE groups AS
SELECT lane_number, place, min(seq) AS first, count(*) AS rows,
    CASE WHEN lane = 'web' THEN min(turn) ELSE min(seq)::UBIGINT END AS turn
FROM wanted JOIN lanes USING (kind, lane) GROUP BY lane_number, lane, place
"""
_GROUPS_OF_LANES = """
SELECT kind, lane, count(*), sum(rows)::BIGINT FROM groups JOIN lanes USING (lane_number)
GROUP BY lane_number, kind, lane ORDER BY lane_number
"""
_SIZES = "SELECT rows FROM groups ORDER BY lane_number, turn, first"
# Every candidate with a key, in the order of the keys.
ROWS_IN_ORDER = """
FROM listed JOIN wanted USING (seq) JOIN lanes ON lanes.kind = wanted.kind AND lanes.lane = wanted.lane
JOIN groups USING (lane_number, place)
ORDER BY lane_number, groups.turn, first, seq
"""


def plan_shards(
    database: DuckDBPyConnection, shard_rows: int, seed: int, limits: HostLimits
) -> list[tuple[LaneCounts, list[int]]]:
    """Return every lane of every kind, in the order of the shards, with the rows of each of its shards.

    Args:
        database: with `listed` and `kept`; the tables that `ROWS_IN_ORDER` reads are added.
        shard_rows: the most rows of a shard.
        seed: of the order of `web`.
        limits: of hosts; a limited host has a lane of its own, or shares one, however few rows it has.

    Raises:
        ConfigError: there are more shards than five digits can number.
    """
    _canonicalize_hosts(database)
    database.execute(_HOSTED, {"seed": seed})
    limited_hosts = _share_lanes(database, limits)
    values = {
        "limited": [*limited_hosts],
        "fetchable": database.execute(_FETCHABLE).fetchall()[0][0],
        "min_rows": MIN_ROWS_FOR_LANES,
        "share": LARGE_SHARE,
    }
    hosts = database.execute(_HOSTS, values).fetchall()
    database.execute(_WANTED, {"lanes": ["/none", "/local", *(host for (host,) in hosts)]})
    database.execute(_LANES, {"kinds": [*KINDS]})
    database.execute(_GROUPS)
    lanes = database.execute(_GROUPS_OF_LANES).fetchall()
    slow_rows = sum(rows for kind, lane, _, rows in lanes if _is_slow(kind, lane, limited_hosts))
    slow_limit = min(shard_rows, max(SLOW_SHARD_ROWS, -(-slow_rows // MAX_SLOW_SHARDS)))
    sizes_G: npt.NDArray[np.int64] = database.execute(_SIZES).fetchnumpy()["rows"]
    planned, done = [], 0
    for kind, lane, groups, rows in lanes:
        limit = slow_limit if _is_slow(kind, lane, limited_hosts) else shard_rows
        shards = cut_shards(sizes_G[done : done + groups], limit)
        planned.append((LaneCounts(kind=kind, lane=lane, rows=rows, shards=len(shards)), shards))
        done += groups
    _check_shard_count([lane for lane, _ in planned], shard_rows)
    return planned


def _canonicalize_hosts(database: DuckDBPyConnection) -> None:
    """Fill `canonical_hosts`: the host as it is asked, empty for what cannot be."""
    database.execute(_SETUP)
    for batch in database.cursor().sql(_ODD_HOSTS).to_arrow_reader(_ODD_HOSTS_AT_ONCE):
        urls = [parse_url(f"http://{authority}/") for authority in batch["authority"].to_pylist()]
        hosts = [url.raw_host or "" if url else "" for url in urls]
        found = pa.table({"authority": batch["authority"], "host": pa.array(hosts, pa.string())})
        database.register("odd_hosts", found)
        database.execute("INSERT INTO canonical_hosts FROM odd_hosts")
        database.unregister("odd_hosts")


def _share_lanes(database: DuckDBPyConnection, limits: HostLimits) -> frozenset[str]:
    """Merge all hosts that share a limit into one; return the lanes of limited hosts."""
    patterns = [pattern for pattern, _ in limits.entries]
    values = {
        "hosts": [pattern for pattern in patterns if not pattern.startswith("*.")],
        "domains": [pattern[2:] for pattern in patterns if pattern.startswith("*.")],
    }
    sharing: dict[str, list[str]] = {}
    for (host,) in database.execute(_MAY_BE_LIMITED, values).fetchall():
        if pattern := limits.find_pattern(host):
            sharing.setdefault(pattern, []).append(host)
    for pattern, hosts in sharing.items():
        if hosts != [pattern]:
            database.execute(_SHARE, {"lane": pattern, "hosts": hosts})
    return frozenset(sharing)


def _is_slow(kind: str, lane: str, limited_hosts: Collection[str]) -> bool:
    return kind == "clip" or (kind == "image" and lane in limited_hosts)


def _check_shard_count(lanes: Sequence[LaneCounts], shard_rows: int) -> None:
    shards, most = sum(lane.shards for lane in lanes), 10**SHARD_DIGITS
    if shards > most:
        raise ConfigError(
            f"the lists give {shards:,} shards, but their names have room for {most:,}; "
            f"set shard_rows to {shard_rows * (shards // most + 1):,} or more"
        )


def cut_shards(sizes_G: npt.NDArray[np.int64], limit: int) -> list[int]:
    """Return the rows of each shard: in order, as many whole groups as fit.

    Args:
        sizes_G: rows of each group, all at least 1; a group larger than a shard is cut, too.
        limit: the most rows of a shard.
    """
    pieces_G = -(-sizes_G // limit)
    pieces = np.full(pieces_G.sum(), limit, np.int64)
    pieces[np.cumsum(pieces_G) - 1] = sizes_G - (pieces_G - 1) * limit
    ends = np.cumsum(pieces)
    shards, start = [], 0
    while ends.size and start < ends[-1]:
        end = int(ends[np.searchsorted(ends, start + limit, side="right") - 1])
        shards.append(end - start)
        start = end
    return shards
