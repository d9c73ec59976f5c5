"""The small framework of the routes: middleware, endpoints, policies, bodies, fields, tokens, responses."""
