"""Tests of benchmarks/training/frozen."""
