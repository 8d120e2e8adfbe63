"""Checks of sandboxes with a machine behind each."""
