"""Tables of what holds across comparisons: over datasets, their subsets, backbones and pretraining."""
