"""The configuration: declared (schema, fields, model, tables), loaded, validated (rules) and built."""
