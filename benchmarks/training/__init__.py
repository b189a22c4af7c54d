"""The training loop and what it needs: engine, optimiser, batches, evaluation, checkpoints, several processes.

It takes one Run and returns its trained method with the logits of the test images; it also loads a trained Run again,
to predict a user's own images. It may import planning.
"""
