"""Tests of `training/networks`."""
