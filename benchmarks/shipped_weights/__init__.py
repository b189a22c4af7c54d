"""Scripts that made the weights that come with the project: `python -m benchmarks.shipped_weights.ship` and `….distil`.

Nothing imports this room. It may import the command line's room and all below it.
"""
