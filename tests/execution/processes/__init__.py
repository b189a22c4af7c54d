"""Tests of the processes that carry out a plan: how they begin, work side by side, and end."""
