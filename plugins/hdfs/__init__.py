"""Hadoop's file systems for fsspec, with errors as Python has them."""
