"""What `flyp-sweep data show` shows of data sets: lines for a terminal, or a page."""
