"""AudioLDM, version 1: one CLAP vector -> one sound."""
