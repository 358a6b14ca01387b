"""The chunker: one film in, chunks out, each stored, recorded and announced in order.

`cli` reads the request and says how it ended; `pipeline` runs the line; `plan` decides
where to cut (pure); `media` reads, cuts and writes films; `storage` holds the stores;
`adapters` holds the database and the queue.
"""
