"""The training loop and what it needs: engine, optimiser, batches, evaluation, checkpoints, several processes.

One Run in, one trained method with its logits out. It may import planning.
"""
