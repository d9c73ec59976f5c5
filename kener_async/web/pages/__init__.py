"""How pages are made and kept: snapshot, templates, labels, languages, cache, throttle."""
