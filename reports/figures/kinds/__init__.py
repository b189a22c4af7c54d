"""One file per kind of figure: tables and plain arrays become a matplotlib figure, or None if there is nothing to see.

Each figure is as wide as a column or a page of a paper (`reports.figures.style`), has text of 8 points, and no title:
title and caption stand beside it.
"""
