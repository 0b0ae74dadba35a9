"""Freesound: sounds that people gave, found by its API (version 2).

| file     | what it does                                                     |
|----------|------------------------------------------------------------------|
| source   | the keys of `kind: freesound`, and the rows of its list          |
| api      | one request: the token, the limits, and what an answer says      |
| answers  | the folder that answers are kept in, page by page                |
| licences | the addresses of licences, their names, and how they are asked   |
"""
