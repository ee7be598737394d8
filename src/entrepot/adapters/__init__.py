"""The parts that have two or more real implementations; `bootstrap` chooses among them."""
