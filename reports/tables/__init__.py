"""One file per table: records -> rows of numbers with the columns that people see.

Pure functions, no files. It may import the common ground of reports only.
"""
