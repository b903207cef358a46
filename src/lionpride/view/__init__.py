"""What is going on: for whoever looks at a store, on a page, in a terminal or in a notebook."""
