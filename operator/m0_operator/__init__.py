"""The operator of M0, and its REST door.

Queue → VideoChunkJob → Job → outcome → backend and dead letters. `app` puts it
together; `handlers` hear the cluster, `services` act, `domain` decides,
`adapters` speak to the outside.
"""

__version__ = "0.1.0"
