"""MP4's index: read from a film, made for a chunk, checked in what was written.

Nothing here touches a packet or knows libav, but for `template`, which borrows the
description of a track from libav's muxer.
"""
