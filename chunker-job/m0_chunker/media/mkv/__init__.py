"""Matroska's and WebM's blocks, found by us instead of libav: many at a time, one pass.

What is said here about a film is never believed before libav has said the same of its
beginning, and whatever is out of the ordinary goes back to libav, wherever it turns up.
"""
