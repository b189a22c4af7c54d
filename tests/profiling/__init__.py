"""Tests of `profiling`."""
