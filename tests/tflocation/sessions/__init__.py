"""What a session holds at a location on a real engine, by a client that speaks the bare protocol."""
