"""What transformers give besides maps: tokens, attention, and patches that overlap."""
