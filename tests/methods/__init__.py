"""Tests of `methods`."""
