"""Figures. `select` decides which there are and prepares their data, `draw` saves them, and each file of `kinds` draws
one kind.

A drawing function takes tables and plain arrays, returns a matplotlib figure or None, and writes nothing. Figures are
drawn without pyplot, in one style (`fgbench.mplstyle`). `looks` gives each method its colour, marker and dash,
`colours` has the palette. The same data gives the same bytes. This room may import tables.
"""
