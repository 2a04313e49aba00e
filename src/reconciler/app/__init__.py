"""The wiring: the one place that names every concrete class and marries ports with what fits them."""
