"""Rows that name media -> media and what became of each row.

| file             | what it does                                                            |
|------------------|-------------------------------------------------------------------------|
| stages           | pictures, resized as img2dataset does; clips of sound and four frames   |
| checks           | refuses before the start what could never be fetched                    |
| worker           | the event loop beside the stage; rows that name one URL are one request |
| threads          | make media beside the event loop                                        |
| web              | one GET: redirects, retries, deadline, byte cap                         |
| addresses        | which addresses may be connected to                                     |
| names            | host names to addresses, and whether the name service works             |
| politeness       | who we say we are, who does not want us, how a request asks for a turn  |
| limits           | which limit a host has: the file's, else the published one              |
| forecast         | how long the hosts of a plan take at the rates that they allow          |
| permits          | a worker's side of the limits: turns at hosts, leased in batches        |
| circuits         | hosts that a worker knows to be down, or to want a pause                |
| governor         | the one actor of a cluster that keeps the limits; the only Ray here     |
| desk             | what the governor is without Ray: the rules, and those who wait         |
| rules            | leases that end by time, pauses, what is told to every worker           |
| buckets          | what one limit still allows                                             |
| pools            | which workers fetch which shards                                        |
| answers          | statuses and exceptions to outcomes                                     |
| files            | media of this machine: files and members of tars                        |
| picture          | bytes to a stored picture                                               |
| truncation       | whether media lack their end                                            |
| clip             | a medium to the clips that rows want of it                              |
| origins          | which reader a clip's URL is for                                        |
| video_site       | clips of YouTube's pages, or of a mirror of them: a visit a video       |
| video_download   | one video to files to cut clips from: sections, or all of it            |
| extractor_errors | what yt-dlp says went wrong to outcomes                                 |
| proxy            | guards the sockets of yt-dlp and ffmpeg                                 |
| visit            | one video's use of the proxy: deadline, bytes, what went wrong          |
| resizing         | img2dataset's own `Resizer`                                             |
| cutting          | sound and frames out of a media file, by ffmpeg                         |
"""
