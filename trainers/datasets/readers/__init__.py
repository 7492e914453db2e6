"""The readers of own data: a file for each form in which people keep data sets, found by its place."""
