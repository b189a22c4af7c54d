"""Building blocks that several papers share, on whole batches on the device.

Each has its slow, obvious formula in a test. A method may import these and `methods/interface.py`, nothing else: its
folder with the two can be copied into another project. What only one paper has stays in that paper's folder, but for
covariance pooling and region confusion, which others are known to build on.
"""
