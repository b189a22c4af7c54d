"""From a dataset to augmented batches on the device: decoded store, feed, sampling, augmentation.

It may import the file formats and the contract.
"""
