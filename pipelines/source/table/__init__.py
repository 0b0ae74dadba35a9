"""A table of links: parquet, csv, tsv, jsonl, json or txt, with columns of any name.

| file     | what it does                                                              |
|----------|---------------------------------------------------------------------------|
| source   | the keys of `kind: table`, and the list that they describe                |
| presets  | lists that are known by name: their columns                               |
| files    | one file, a glob or a folder; its format                                  |
| cells    | the rows of files as records, and the SQL of each of their cells          |
| delimited, objects, parquet | csv, tsv and txt; json and jsonl; parquet              |
| columns  | which column is the URL, which the caption                                |
| places   | where media may be besides the web: `files`, `stores`, `media`, `bytes`   |
| media    | a cell or a template -> the URL of its media, or a reject; in SQL         |
| kept     | columns that are stored with each row, and what a row says of its media   |
| where    | `where`: an expression of a user -> SQL of ours                           |
| rows     | columns -> the rows of a list, in SQL                                     |
| formats  | the table of files, by their format                                       |
| join     | `join`: another list, whose captions the rows get                         |
| vectors  | `vectors`: those that come with the table                                 |
"""
