"""How the embedded model is made, from nothing to the weights.

``python -m training`` runs the stages in order: glyphs, tokenizer, autoencoder, generator, package.
Each resumes where it was stopped. The measurements of the card (``python -m training measure``)
come after, with a judge that the generator never saw.
"""
