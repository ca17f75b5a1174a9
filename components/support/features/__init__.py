"""What models of customer service are fitted on and asked with."""
