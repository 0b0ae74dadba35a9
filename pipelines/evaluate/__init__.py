"""What was generated -> what it is worth."""
