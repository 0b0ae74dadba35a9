"""Rows that name media -> media and the outcome of each row.

| file          | what it does                                                                       |
|---------------|------------------------------------------------------------------------------------|
| stages        | the two stages: pictures, resized as img2dataset does; sound clips and four frames |
| origins       | where the media of every kind of list may be                                       |
| worker        | a stage's event loop; rows that name one URL share a request                       |
| worker_pools  | which workers fetch which shards                                                   |
| media_threads | decode beside the event loop                                                       |
| http_client   | one GET: redirects, retries, deadline, byte cap                                    |
| urls          | a URL as a list or `Location` has it -> what is sent, and the host's one spelling  |
| http_transport, http_proxy | connections: direct, or through the proxy of the environment          |
| lenient_http  | a second request where headers are not as they should be                           |
| content_encoding | bodies whose Content-Encoding is none                                           |
| sockets       | sockets for addresses that may be connected to, alone                              |
| protocols     | how a request asks the rate limits for permission                                  |
| user_agent    | who we say we are                                                                  |
| robots        | `X-Robots-Tag`: whether media are wanted in datasets                               |
| addresses     | which addresses may be connected to                                                |
| networks      | networks that are never asked: metadata of clouds, special-purpose addresses       |
| dns           | host names to addresses, and whether the name service works                        |
| outcomes      | statuses and exceptions to outcomes                                                |
| files         | media that no web host serves: files, buckets, members of archives                 |
| archives      | members of tars and zips, without unpacking the whole                              |
| image         | bytes to a stored picture                                                          |
| resizing      | img2dataset's own `Resizer`                                                        |
| truncation    | whether media lack their end                                                       |
| ratelimit/    | how often and how fast a host may be asked, for a whole cluster                    |
| video/        | clips: of media files, and of pages of a video site, by yt-dlp and ffmpeg          |
"""
