"""A page of a video site -> clips: yt-dlp and ffmpeg behind a guarding proxy."""
