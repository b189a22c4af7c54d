"""Tests of methods/ops/second_order."""
