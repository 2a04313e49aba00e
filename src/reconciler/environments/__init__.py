"""Where components run: the slot kept honest, what is current, lifetime, and removal that always ends."""
