"""Archives from the web to a verified folder: download, unpack, verify.

It may import the file formats and the contract.
"""
