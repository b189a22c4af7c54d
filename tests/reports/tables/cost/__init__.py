"""Tests of `tables/cost`."""
