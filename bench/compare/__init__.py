"""tfd beside what people would use instead: the same figures, in one run on one machine.

`bench/run` is the command. Every program is a pair of ends, client -> near end -> far end -> backend, on
loopback or in namespaces of the bench's own; client and backend are those of `bench/load`, the same for all.
"""
