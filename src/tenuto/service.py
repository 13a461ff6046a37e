"""Errors of requests, by the name that Temporal's SDK gives them."""

from tenuto.model.errors import RPCError, RPCStatusCode

__all__ = ["RPCError", "RPCStatusCode"]
