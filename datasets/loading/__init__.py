"""From a dataset to augmented batches on the device: decoded store, feed, sampling, augmentation.

It may import `datasets.formats`, the dataset contract and the settings in `results`. The other rooms can be
imported without torch.
"""
