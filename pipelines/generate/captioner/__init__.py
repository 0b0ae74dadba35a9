"""The captioner: a vector of a picture or a sound -> words."""
