"""Customer service: what a message wants, what to answer, and when to hand over to a person."""
