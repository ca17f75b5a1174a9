"""From a release to answers: what package prepares and the service says."""
