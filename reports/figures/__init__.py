"""Figures. `select` decides which there are and prepares their data, `draw` saves them, the others draw one kind each.

A drawing function takes tables and plain arrays, returns a matplotlib figure or None, and writes nothing. Figures are
drawn without pyplot, in one style (`fgbench.mplstyle`): colours that are distinct to colour-blind readers, with
markers, dashes and hatches that are distinct in grey. The same data gives the same bytes. This room may import tables.
"""
