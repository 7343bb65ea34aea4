"""Commands of a maintainer: publish, verify, readme, book, student edition, the base model.  No notebook imports them."""
