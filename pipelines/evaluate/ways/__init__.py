"""Ways from one medium to another: a file a kind."""
