"""Files that strangers made: counted first, then decoded within a budget.

| file          | what it does                                                                            |
|---------------|-----------------------------------------------------------------------------------------|
| budget        | how many pixels a picture may have                                                      |
| formats       | which formats of pictures are read, told by their first bytes                           |
| header        | what a picture costs, counted without decoding it: pixels, scans, chunks, frames        |
| jpeg          | the same of a JPEG                                                                      |
| pixels        | a picture's file to its pixels by OpenCV, and to a Pillow image                         |
| child_pool    | rare formats, whose cost nobody can count, in child processes with a limit of CPU time  |
| child         | what runs in such a process                                                             |
| depth         | pixels of any number of bits to 8 bits, or a refusal                                    |
| upright       | a file whose picture is to be turned -> one whose pixels stand upright                  |
| orientation   | how a picture is to be turned: by EXIF, or by the boxes of an AVIF                      |
| tags          | numbers in directories of tags, as TIFF and EXIF have them                              |
| exif          | EXIF as img2dataset writes it, from a file of which so much is read and no more         |
| kinds         | whether a file of any name is a picture or a clip, told by its first bytes              |
| mp3           | whether an MP3 is a chain of frames                                                     |
| sound         | a sound's file to samples                                                               |

Every refusal is an `UndecodableMediaError`, whose reason is one of `invalid` in schemas/outcome.py.
"""
