"""Training of captioners: vectors of texts or media -> captions."""
