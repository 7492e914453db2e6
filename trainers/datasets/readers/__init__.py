"""The readers of your own data: one file per form of data, discovered automatically."""
