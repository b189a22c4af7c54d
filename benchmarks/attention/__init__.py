"""What a trained method attends to, against annotated boxes and parts: numbers over the test set, and galleries."""
