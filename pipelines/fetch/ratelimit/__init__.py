"""How often and how fast a host may be asked, for a whole cluster."""
