"""Processes, cores, timing and the device: what the nets and decoders run on."""
