"""Figures: a module for each kind. They take tables and plain arrays, give a matplotlib figure or None, write nothing.

Drawn without pyplot, in one style (`fgbench.mplstyle`): colours that every eye tells apart, and markers, dashes and
hatches that tell the same in grey. The same data gives the same bytes.
"""
