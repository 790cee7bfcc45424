"""A test bed from any corpus of prompts, as I2P was built: keywords, nearest prompts, images,
scores, a data card.

    keywords -> corpus -> embed -> nearest -> choose     which prompts, and what they are suspected
    of safelatent.runs                                      their images and verdicts scores ->
    columns, card -> finish                    a table in I2P's columns, and what it is

Import from the modules: this package alone loads nothing.
"""
