"""The stages, one file each. A stage looks and answers; it changes nothing and knows no other stage."""
