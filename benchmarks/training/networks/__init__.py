"""A Run's network: built with its initial weights, checked against the Run, or loaded again once it is trained."""
