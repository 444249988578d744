"""How every file of a release is made, and what proves where it comes from."""
