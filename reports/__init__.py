"""Records in, tables, figures and pages out. Nothing here trains or measures.

Rooms, top to bottom: `render`, `figures`, `tables`; `report.py` above them writes a whole report. The other files are
their common ground: what a report contains, and the evidence for it: records in groups, measurements, predictions.
"""
