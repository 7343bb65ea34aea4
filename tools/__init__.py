"""Commands of a maintainer: publish, verify, readme, book, student, base.  No notebook imports them."""
