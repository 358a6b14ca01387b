"""The REST door: a request over HTTP becomes a message on the queue."""
