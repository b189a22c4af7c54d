"""A report's tables and figures as Markdown, LaTeX, README blocks and one HTML page.

It decides how things look, never which numbers they hold. It may import figures and tables.
"""
