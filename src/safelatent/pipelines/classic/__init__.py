"""The classic pipelines of diffusers: a hook on the denoiser that is attached for one call."""
