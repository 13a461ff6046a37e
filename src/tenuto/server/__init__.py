"""The Conductor-compatible HTTP server: translates between the wire and the engine, and holds no rule of either."""
