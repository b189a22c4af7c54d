"""Tests of `attention`."""
