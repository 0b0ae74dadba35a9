"""Code that several verbs share; it imports no verb."""
