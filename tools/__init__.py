"""Commands of a maintainer: publish, verify, readme, book, student, lab, base.  No notebook imports them."""
