"""One request, one image with its receipt; shared by the command line and by runs.

Import from the modules: ``request`` is light, so that the command line can answer before torch is
loaded.
"""
