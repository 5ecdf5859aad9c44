"""The worker's two ports: data for clients, control for the operator."""
