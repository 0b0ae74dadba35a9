"""A version -> the files of another tool.

| file           | what it writes                                                      |
|----------------|---------------------------------------------------------------------|
| clip_retrieval | the vectors of a family, as a folder that clip-retrieval reads      |
| version        | nothing: it is what every export is given                           |
| registry       | finds an export by its name, and puts what it wrote into its place  |
"""
