"""Workflows as graphs: Conductor's JSON definitions on a Tenuto server."""
