"""Damaged and hostile input of every kind: each is read rightly, or refused in one line of a user's error."""
