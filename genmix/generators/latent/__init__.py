"""Latent diffusion: a fine-tuned denoiser, and Textual Inversion on a frozen one."""
