"""How well customers are understood: what a release is judged by, and the pictures of its report."""
