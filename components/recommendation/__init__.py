"""Personal recommendation: rank the whole catalogue for a customer's next basket."""
