"""Vectors that come with a list: they are taken as they are, and nothing is fetched for them.

| file    | what it does                                                        |
|---------|---------------------------------------------------------------------|
| keys    | `vectors:` of a list                                                |
| npz     | arrays in npz files beside the files of a list                      |
| columns | columns of lists of numbers in Parquet files                        |
| parts   | which rows of a list have their vectors in which file               |
| choice  | whether a set is taken from a list, and in which space it is        |
| stage   | rows -> their vectors                                               |
"""
