"""a text, picture or sound -> its nearest neighbours."""
