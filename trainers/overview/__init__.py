"""An overview of a data set before training: numbers, example pictures, and possible problems."""
