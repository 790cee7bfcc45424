"""The report of a run as a page, Markdown and CSV. Knows numbers and saved images; does not know
torch or models.
"""
