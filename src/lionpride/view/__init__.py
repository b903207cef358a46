"""Views of stores: the data that the page, the terminal and notebooks display."""
