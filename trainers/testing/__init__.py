"""What tests of methods need, this project's and those of others: a small bench, and a suite to inherit."""
