"""A film whose index is kept reads like the film, and no byte of the index is asked for again."""

import io

from hypothesis import given
from hypothesis import strategies as st
from m0_chunker.media.kept import KeptIndex

DATA = bytes(range(200))


class File(io.BytesIO):
    size_bytes, identity, failure = len(DATA), "", None
    bytes_read = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.bytes_read += len(data)
        return data


@given(
    st.integers(0, 200),
    st.integers(0, 200),
    st.lists(st.tuples(st.integers(0, 220), st.integers(-1, 220)), max_size=10),
)
def test_reads_like_the_film(begin, end, places):
    kept = KeptIndex(File(DATA))  # type: ignore[arg-type]
    kept.keep(min(begin, end), DATA[min(begin, end) : max(begin, end)])
    for offset, size in places:
        kept.seek(offset)
        got = b""
        while (left := size - len(got) if size >= 0 else -1) and (data := kept.read(left)):
            got += data
        assert got == (DATA[offset:] if size < 0 else DATA[offset : offset + size])
        assert kept.tell() == offset + len(got)


def test_what_is_kept_is_not_read_again():
    file = File(DATA)
    kept = KeptIndex(file)  # type: ignore[arg-type]
    kept.keep(50, DATA[50:150])
    kept.seek(0)
    while kept.read(64):
        pass
    assert file.bytes_read == 100
