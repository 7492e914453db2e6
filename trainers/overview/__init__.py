"""What a person should see of a data set before a training: numbers, example pictures, and what looks wrong."""
