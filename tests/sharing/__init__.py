"""Tests of shared networks."""
