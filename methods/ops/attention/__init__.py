"""Blocks on attention maps: how they pool features, which parts of the images they crop or hide, and the centre loss of
what they pool (WS-DAN, CAL). Maps of an ordinary network's predicted class are in `class_activation.py`."""
