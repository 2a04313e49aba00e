"""The kill matrix: the operator is killed around everything it stores, sends or changes, and its work is judged."""
