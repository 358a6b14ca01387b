"""Reads a film's blocks in one pass: where they are and what their headers say, in columns.

Its loop is most of what cutting a Matroska film costs beside moving bytes: it makes no
object for a block and looks at its first bytes only.
"""

from collections.abc import Iterator
from itertools import repeat
from operator import add
from struct import Struct

from m0_chunker.media.direct import OddError
from m0_chunker.media.mkv import ebml
from m0_chunker.media.mkv.ebml import Header, read_header, read_number
from m0_chunker.media.mkv.parts import KEY, MAX_TIME, Blocks, read_group, read_tracks
from m0_chunker.media.mp4.boxes import Readable

READ_BYTES = 256 * 1024

MAX_ELEMENT_BYTES = 16 * 2**20
"""The largest element whose content is looked at."""

MAX_AROUND = 1000
"""Elements around the blocks that were read at a time, at most, and eight for each block."""

_START = Struct(">BhB")
"""A block's first bytes: track, time after its cluster's, flags."""

_ONE, _TWO, _THREE = Struct(">xBBhB"), Struct(">BHBhB"), Struct(">xBHBhB")
"""The same after an id and a size of one, two, three bytes."""

_START_BYTES = _START.size
_SIMPLE = ebml.SIMPLE_BLOCK
_CHILDREN = frozenset(
    {ebml.TIMESTAMP, ebml.SIMPLE_BLOCK, ebml.BLOCK_GROUP, ebml.POSITION, ebml.PREVIOUS_SIZE}
)
_BESIDE = frozenset({ebml.SEEK_HEAD, ebml.CUES, ebml.TAGS, ebml.CHAPTERS, ebml.ATTACHMENTS})


class BlockReader:
    """All blocks of a film, from its first byte to its last."""

    def __init__(self, file: Readable, size_bytes: int) -> None:
        """Args:
        file: the film.
        size_bytes: its length.
        """
        self._file, self._size_bytes = file, size_bytes
        self._data, self._base, self._at = b"", 0, 0
        self._segment_end: int | None = None
        self._cluster_end: int | None = None
        self._in_segment = self._in_cluster = self._begun = False
        self._time: int | None = None
        self._tracks: set[int] = set()

    def batches(self) -> Iterator[Blocks]:
        """As many at a time as are read at a time; none empty.

        An element that lies only partly in what was read is read to its end, and no further:
        the next look at the film begins with nothing left over that would have to be copied.

        Raises:
            OddError: what comes after those that were given is not for this reader.
        """
        missing = 1
        while missing:
            self._read_on(max(missing, READ_BYTES), missing)
            blocks = Blocks()
            missing = self._scan(blocks)
            while missing and self._at < len(self._data):
                self._read_on(missing, missing)
                missing = self._scan(blocks)
            if blocks.payloads:
                blocks.check(self._tracks)
                yield blocks

    def _read_on(self, wanted: int, missing: int) -> None:
        """Let go of what was scanned, and read on.

        Args:
            wanted: so many bytes.
            missing: so many at least.
        """
        left = self._data[self._at :]
        pieces = [left] if left else []
        self._base += self._at
        self._file.seek(self._base + len(left))
        while missing > 0:
            piece = self._file.read(wanted)
            if not piece:
                raise OddError("it ends in the middle of an element")
            pieces.append(piece)
            wanted -= len(piece)
            missing -= len(piece)
        self._data, self._at = b"".join(pieces), 0

    def _scan(self, blocks: Blocks) -> int:
        """Take all that lies whole in the data.

        Returns:
            How many more bytes are needed at least; 0 at the film's end.
        """
        around = 0
        while True:
            if self._in_cluster and self._time is not None:
                self._take_usual(blocks, self._time)
            here = self._base + self._at
            if here == self._cluster_end:
                self._in_cluster, self._cluster_end = False, None
            if here == self._size_bytes:
                return 0  # whatever was open ends here: each was found to end within its parent
            if self._at >= len(self._data):
                return 1
            missing = self._take_element(blocks)
            if missing:
                return missing
            around += 1
            if around > MAX_AROUND + 8 * len(blocks.payloads):
                raise OddError("there is more around its blocks than in them")

    def _take_usual(self, blocks: Blocks, cluster_time: int) -> None:
        """The tight loop: simple blocks of at most 2 MB that lie whole in the data."""
        data, at, base = self._data, self._at, self._base
        limit = len(data)
        if self._cluster_end is not None:
            limit = min(limit, self._cluster_end - base)
        begins: list[int] = []
        times: list[int] = []
        tracks: list[int] = []
        flags: list[int] = []
        payloads = blocks.payloads
        one, two, three = _ONE.unpack_from, _TWO.unpack_from, _THREE.unpack_from
        safe = limit - ebml.HEADER_BYTES
        while at < safe:
            # Most blocks have two bytes of size: then one look is enough.
            kind, size, track, time, flag = two(data, at)
            if kind != _SIMPLE:
                break
            if 0x4000 <= size < 0x8000:
                begin = at + 7
                after = at + size - 0x3FFD
            elif size >= 0x8000:
                size, track, time, flag = one(data, at)
                begin = at + 6
                after = at + 2 + size - 0x80
            elif size >= 0x2000:
                high, low, track, time, flag = three(data, at)
                begin = at + 8
                after = at + 4 + ((high - 0x20) << 16 | low)
            else:
                break
            if not begin < after <= limit:
                break
            begins.append(begin)
            tracks.append(track)
            times.append(time)
            flags.append(flag)
            payloads.append(data[begin:after])
            at = after
        self._at = at
        blocks.tracks += bytes(tracks)
        blocks.flags += bytes(flags)
        blocks.places.append((base - _START_BYTES, begins))
        blocks.times += map(add, times, repeat(cluster_time))

    def _take_element(self, blocks: Blocks) -> int:
        """Whatever else comes next.

        Returns:
            How many bytes of it are missing in the data; 0: it was taken.
        """
        if self._base + self._at == self._segment_end:
            raise OddError("something comes after its segment")
        header = read_header(self._data, self._at)
        if header is None:
            return 1
        if header.kind in {ebml.VOID, ebml.CRC}:
            self._skip(header)
        elif self._in_cluster and header.kind in _CHILDREN:
            return self._take_child(header, blocks)
        elif header.kind == ebml.TRACKS and self._in_segment and not self._begun:
            return self._take_tracks(header)
        else:
            self._take_outer(header)
        return 0

    def _take_tracks(self, header: Header) -> int:
        """The tracks' numbers; returns as `_take_element`."""
        after = self._bounded_end_of(header)
        if after > len(self._data):
            return after - len(self._data)
        self._tracks = read_tracks(self._data, header.begin, after)
        self._at = after
        return 0

    def _take_outer(self, header: Header) -> None:
        """An element that is in no cluster: where one begins, or something beside them."""
        if self._cluster_end is not None:
            raise OddError(f"an element {header.kind:x} in a cluster")
        if header.kind == ebml.CLUSTER and self._in_segment:
            self._cluster_end = self._end_of(header)
            self._in_cluster = self._begun = True
            self._time, self._at = None, header.begin
        elif header.kind == ebml.SEGMENT and not self._in_segment:
            self._segment_end = self._end_of(header)
            self._in_segment, self._at = True, header.begin
        elif self._is_beside(header.kind):
            self._in_cluster = False
            self._skip(header)
        else:
            raise OddError(f"an element {header.kind:x} out of its place")

    def _is_beside(self, kind: int) -> bool:
        """Whether this may be skipped here."""
        if not self._in_segment:
            return kind == ebml.EBML
        return kind in _BESIDE or (kind == ebml.INFO and not self._begun)

    def _end_of(self, header: Header) -> int | None:
        """Where an element's content ends in the film; None: that is not known.

        Raises:
            OddError: after what it is in.
        """
        if header.size is None:
            return None
        end = self._base + header.begin + header.size
        bound = self._cluster_end or self._segment_end or self._size_bytes  # each in the next
        if end > bound:
            raise OddError(f"an element {header.kind:x} is longer than what it is in")
        return end

    def _skip(self, header: Header) -> None:
        end = self._end_of(header)
        if end is None:
            raise OddError(f"an element {header.kind:x} of unknown size")
        self._at = end - self._base

    def _bounded_end_of(self, header: Header) -> int:
        """Where in the data an element ends whose content is looked at."""
        end = self._end_of(header)
        if end is None or (header.size or 0) > MAX_ELEMENT_BYTES:
            raise OddError(f"an element {header.kind:x} of absurd size")
        return end - self._base

    def _take_child(self, header: Header, blocks: Blocks) -> int:
        """An element in a cluster; returns as `_take_element`."""
        after = self._bounded_end_of(header)
        if after > len(self._data):
            return after - len(self._data)
        if header.kind == ebml.TIMESTAMP:
            if self._time is not None:
                raise OddError("a cluster has two times")
            self._time = read_number(self._data[header.begin : after])
            if self._time > MAX_TIME:
                raise OddError("a cluster's time is absurd")
        elif header.kind == ebml.SIMPLE_BLOCK:
            self._take_block(header.begin, after, blocks)
        elif header.kind == ebml.BLOCK_GROUP:
            self._take_group(header.begin, after, blocks)
        self._at = after
        return 0

    def _take_block(self, begin: int, after: int, blocks: Blocks) -> None:
        if self._time is None:
            raise OddError("a block comes before its cluster's time")
        if after <= begin + _START_BYTES:
            raise OddError("a block without a byte")
        track, time, flag = _START.unpack_from(self._data, begin)
        blocks.places.append((self._base, [begin]))
        blocks.tracks.append(track)
        blocks.times.append(self._time + time)
        blocks.flags.append(flag)
        blocks.payloads.append(self._data[begin + _START_BYTES : after])

    def _take_group(self, begin: int, after: int, blocks: Blocks) -> None:
        group = read_group(self._data, begin, after)
        block, place = group.block, len(blocks.payloads)
        self._take_block(block.begin, block.begin + (block.size or 0), blocks)
        blocks.flags[place] = blocks.flags[place] & ~KEY | (KEY if group.is_key else 0)
        if group.duration is not None:
            blocks.durations[place] = group.duration
        elif group.trimmed:
            blocks.trimmed.append(place)
