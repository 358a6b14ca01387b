"""MPEG transport streams' pictures and frames of sound, found by us instead of libav.

What looks at every packet of 188 bytes, and at every byte of a picture for its start codes, is
C (`transport.c`, compiled by `chunker-job/bin/native.sh`): in Python it would cost more than all
the rest of the cut. Where it was not compiled, libav reads the film, at twice the CPU.
"""
