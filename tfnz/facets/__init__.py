"""What a container offers, by theme: processes, files, tunnels and servers."""
