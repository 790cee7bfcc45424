"""Where guidance meets diffusers: `guard`, loading and saving, the classic and the modular
pipelines.

Import from the modules; this package imports nothing by itself, so that light parts stay light.
"""
