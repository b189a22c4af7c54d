"""Results: one folder per Run, written whole or not at all, and an index derived from them."""
