"""How it is done: one technology a package, none of which knows another."""
