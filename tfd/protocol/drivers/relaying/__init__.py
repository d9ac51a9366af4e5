"""The client's end of relayed connections: listening sockets, channels, and the bytes between them."""
