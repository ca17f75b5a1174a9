"""Other words for a reply, by a language model that the shop may name; off unless it does."""
