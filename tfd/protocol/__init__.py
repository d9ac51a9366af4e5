"""The wire between tfd, tfnz and tflocation: machines that take bytes and give bytes, without any I/O."""

__version__ = "0.1.0"
