"""A Run that learns nothing by gradients: it is fitted to features that are computed once, and kept."""
