"""Tables and figures as Markdown, CSV, LaTeX, README blocks, terminal text and one HTML page.

Nothing here computes a number of a table. It may import figures and tables.
"""
