"""lists -> candidates: which rows to fetch, in which order, in which shards.

| file                  | list                                                                            |
|-----------------------|---------------------------------------------------------------------------------|
| wit                   | tab-separated, 17 columns with a header, quoted, many languages                 |
| conceptual_captions   | tab-separated without a header: CC3M caption, url; CC12M url, caption           |
| audiocaps             | comma-separated with a header: audiocap_id, youtube_id, start_time, caption     |
| vggsound              | comma-separated without a header: youtube_id, start_s, label, split             |
| folder                | pictures, sounds and videos in a folder                                         |
| img2dataset           | a folder that img2dataset wrote                                                 |
| webdataset            | tars of samples, as WebDataset has them                                         |
| freesound/            | sounds that Freesound's API finds                                               |
| table/                | parquet, csv, tsv, jsonl, json or txt, with columns of any name                 |

`listing` is what every list offers, `registry` finds the lists by their kinds, `checks` refuses what could
never be fetched, `records` splits text into rows, `list_files` finds their files, `media_template` fills in
where clips are, `database` stores the rows of all lists out of core, `lanes` orders them and cuts shards,
`join_captions` puts the captions of one list onto another, `listed/` takes vectors that come with a list,
`hub_lists` pins those of the hub, `parquet_lists` opens Parquet, `counts` counts them, `row_warnings` says
what to do about those that are lost, `plan` writes the result.
"""
