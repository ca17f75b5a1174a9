"""The service: what was released, answered over HTTP."""
