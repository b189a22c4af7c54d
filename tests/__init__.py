"""Tests, in the rooms of the code that they test; `helpers/` holds what several of them share."""
