"""The pocket models: the miniature world -> small CLIP, CLAP and AudioLDM."""
