"""Messages that a person must answer: kept before the customer is told so, and told to the shop's own desk."""
