"""Tests of `estimates`."""
