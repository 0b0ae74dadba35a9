"""media -> vectors: one file a library that loads encoders, and the stages that run them."""
