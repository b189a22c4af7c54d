"""Blocks on the tokens of a transformer, or of a map whose places are taken as tokens.

`selection.py` chooses tokens of a vision transformer, and `last_blocks.py` is for the blocks that see the chosen ones
(TransFG, FFVT, IELT). `pyramid.py` reads a network's stages as levels of tokens, and `combiner.py` keeps the confident
ones of each level (PIM, HERBS).
"""
