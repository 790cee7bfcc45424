"""Many images: the plan of a run, its store, the worker that draws and judges, and the engines that
drive it.
"""
