"""One detector a file; each declares the symbols it can give."""
