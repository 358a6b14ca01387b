"""The program's first lines: what makes starting cheap, before anything is imported.

The Job pays for its imports once for every film. `python -m m0_chunker.cli` works as well,
a little slower.
"""

import gc
import os


def main() -> None:
    """Entry point of `m0-chunker`; ends the process."""
    # Imports make objects that stay: looking for garbage among them costs a tenth of a
    # second. `cli` turns it on again when the work begins.
    gc.disable()
    # pydantic looks through the metadata of all installed distributions for plugins of its
    # own; there are none, and none are wanted.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from m0_chunker.cli import main as run  # noqa: PLC0415 - the point of this module

    run()


if __name__ == "__main__":
    main()
