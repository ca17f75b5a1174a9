"""The loop, written once: each file holds one public function named after the file."""
