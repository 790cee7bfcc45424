"""A test bed from any corpus of prompts, as I2P was built.

    corpus, keywords -> embed -> choose -> choice.json    which prompts, near to which keywords
    safelatent.runs                                       their images and verdicts
    scores -> testbed.csv, card -> CARD.md                a table in I2P's columns, a data card

``build`` has both ends. Import from the modules: this package alone loads nothing.
"""
