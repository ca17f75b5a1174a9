"""What a customer is told: an answer with the shop's facts, one question, or a person."""
