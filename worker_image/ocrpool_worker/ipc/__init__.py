"""How the supervisor and an instance talk: one stream socket, frames, and sealed memory."""
