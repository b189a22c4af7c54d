"""What a trained method attends to: attention maps, localisation scores against annotations, galleries.

It may import training, to load a trained Run, and planning.
"""
