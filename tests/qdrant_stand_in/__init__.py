"""A process in place of a Qdrant server: the server's engine behind an HTTP layer of our own.

It lets several processes share an index where no server is at hand. Real are the client, everything that goes over the
wire, and the engine that applies and searches, with its write-ahead log. Ours are the paths, the catalogue of
collections and the order of requests: one shard, one request at a time, no copies, no gRPC, no keys, no optimizer.
So it shows what happens when processes contend and when the index goes away; what a server does is for ``QDRANT_URL``.
"""
