"""What is stored. One file a table or card; nothing here imports anything of ours but its neighbours.

| file         | what it describes                       | written by        | read by                  |
|--------------|-----------------------------------------|-------------------|--------------------------|
| dataset      | the YAML a person writes, dataset.json  | a person, plan    | every job                |
| fetch        | its part about asking for media         | a person          | fetch, plan              |
| candidate    | candidates/NNNNN.parquet, plan/*        | source            | fetch, encode            |
| outcome      | the closed list of outcomes and reasons | -                 | everything               |
| sample       | media/NNNNN.parquet                     | fetch, filter     | encode, status, lookup   |
| space        | which embedding space a vector is in    | encode            | index, lookup, translate |
| vectors      | vectors/SET/NNNNN.parquet               | encode            | index, report, train     |
| index_card   | indices/SET/VERSION/COLUMN.json         | index             | lookup                   |
| version      | versions/NNNN.json and .parquet         | publish           | status, lookup, report   |
"""
