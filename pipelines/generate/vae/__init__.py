"""The generator `vae`: sounds of the latents of a VAE of spectrograms, and pictures that share them."""
