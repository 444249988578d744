"""Pages follow."""
