"""What a network keeps, forgets and looks at, and whether that account is faithful."""
