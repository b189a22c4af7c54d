"""Second-order pooling: products of channels, whole or projected, covariances, and their roots (Bilinear CNN, Compact
Bilinear, iSQRT-COV, Hierarchical Bilinear Pooling)."""
