"""What a public copy shows, how exactly, and what it withholds."""
