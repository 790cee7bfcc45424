"""Many images: what is asked for (``request``), how it is sampled (``sampling``), how it is written (``save``).

Import from the modules: ``request`` is light, so that the command line can answer before torch is there.
"""
