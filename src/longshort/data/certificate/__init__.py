"""What is wrong with a series and how wrong: found, named, graded, and masked causally on request."""
