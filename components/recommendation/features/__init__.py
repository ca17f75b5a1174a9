"""From shop tables to folds: what featurise runs, and what training and serving share of it."""
