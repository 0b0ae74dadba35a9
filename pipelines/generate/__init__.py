"""A vector of a CLAP space -> a sound, and what it is worth."""
