"""torch.compile: a method's compiled losses and forward pass, and the folder that keeps the compiler's code."""
