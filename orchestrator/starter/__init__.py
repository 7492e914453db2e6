"""What `flyp-sweep init` writes: a search space to start from, with the data that it finds in a folder."""
