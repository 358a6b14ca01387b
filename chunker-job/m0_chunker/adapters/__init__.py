"""Who hears of a chunk: the database and the queue, or a person's standard output."""
