"""How the supervisor and an instance talk: frames on a socket, bodies in a shared shared_buffer."""
