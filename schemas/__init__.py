"""Schemas of everything that is stored, one file per table or card. They import only each other.

| file         | what it describes                       | written by        | read by                  |
|--------------|-----------------------------------------|-------------------|--------------------------|
| dataset      | the dataset's YAML file, dataset.json   | a user, plan      | every job                |
| fetch        | its part about fetching media           | a user            | fetch, plan              |
| candidate    | candidates/NNNNN.parquet, plan/*        | source            | fetch, encode            |
| outcome      | the closed list of outcomes and reasons | -                 | everything               |
| sample       | media/NNNNN.parquet                     | fetch, filter     | encode, status, lookup   |
| space        | which embedding space a vector is in    | encode            | index, lookup, translate |
| vectors      | vectors/SET/NNNNN.parquet               | encode            | index, report, train     |
| index_card   | indices/SET/VERSION/COLUMN.json         | index             | lookup                   |
| version      | versions/NNNN.json and .parquet         | publish           | status, lookup, report   |
"""
