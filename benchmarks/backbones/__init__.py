"""Scripts that made the small backbones that come with the project: `python -m benchmarks.backbones.ship`, `….distil`.

Nothing imports this room. It may import the command line's room and all below it.
"""
