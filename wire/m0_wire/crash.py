"""Named places at which a test can end the process, or hold it: `crash.point("intake.created")`.

In an image for production there is nothing behind a name: the module `m0_crash` is only in the
images' build target `test`, which `hack/cluster` builds for the development cluster, and even
there it does nothing unless M0_CRASH_URL is set. `make chaos` kills at each of these places.
"""

try:
    from m0_crash import point
except ImportError:

    def point(name: str, subject: str = "") -> None:
        """Nothing: this is not a test's image.

        Args:
            name: what has just been done, or is about to be.
            subject: the resource's name, where it is known.
        """


__all__ = ["point"]
