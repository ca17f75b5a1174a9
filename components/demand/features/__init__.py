"""From shop tables to folds of series: what featurise runs, and what training and serving share of it."""
