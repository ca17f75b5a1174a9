"""What a buyer asks of a release: forecasts, what if, and how much to order."""
