"""Between supervisor and instance: frames on a socket, request bytes in a shared buffer."""
