"""Rows that name media -> media and what became of each row.

| file       | what it does                                                            |
|------------|-------------------------------------------------------------------------|
| images     | stage: pictures, asked for once a URL, resized as img2dataset does      |
| clips      | stage: ten seconds of sound and four frames, cut out of audio or video  |
| checks     | refuses before the start what could never be fetched                    |
| worker     | the event loop beside the stage; rows that name one URL are one request |
| web        | one GET: redirects, retries, deadline, byte cap                         |
| addresses  | which addresses may be connected to                                     |
| names      | host names to addresses, and whether the name service works             |
| politeness | who we say we are, who does not want us, how many at once               |
| answers    | statuses and exceptions to outcomes                                     |
| files      | media of this machine: files and members of tars                        |
| picture    | bytes to a stored picture                                               |
| truncation | whether media lack their end                                            |
| clip       | a medium to the clips that rows want of it                              |
| resizing   | img2dataset's own `Resizer`                                             |
| cutting    | sound and frames out of a media file, by ffmpeg                         |
"""
