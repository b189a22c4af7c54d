"""Sharing: a trained Run becomes a folder that can be uploaded to a hub, with its record as model card."""
