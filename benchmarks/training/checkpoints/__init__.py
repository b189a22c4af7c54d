"""A training between two batches: its state, its file, and the thread that writes it."""
