"""The parts of `make bench-media`: films, methods, measuring, an S3 server behind a slow wire."""
