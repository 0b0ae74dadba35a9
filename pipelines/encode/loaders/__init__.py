"""One file a library that loads encoders, and what these loaders share."""
