"""Fakes, small inputs and readers that several tests share. No tests."""
