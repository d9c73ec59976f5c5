"""The small framework that the routes stand on: endpoint, bodies, fields, tokens, errors, responses."""
