"""A page of a video site -> clips: yt-dlp and ffmpeg behind a guarding proxy.

| file             | what it does                                                               |
|------------------|----------------------------------------------------------------------------|
| youtube          | what the URL of a YouTube page says                                        |
| reader           | which reader a clip's URL needs; the clips of a video, downloaded once     |
| clip             | a media file to clips: FLAC, four frames, and their measures               |
| ffmpeg           | sound and frames out of a media file                                       |
| ffmpeg_process   | every run of ffmpeg: its inputs, its whitelists, its limits                |
| download         | one video to files to cut clips from: sections, or all of it, by yt-dlp    |
| extractor_errors | yt-dlp's errors to outcomes                                                |
| proxy            | guards the sockets of yt-dlp and ffmpeg                                    |
| session          | one video's use of the proxy: deadline, bytes, failure                     |
"""
