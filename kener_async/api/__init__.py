"""The JSON API: schemas, handlers, tokens, errors, and the description made of them."""
