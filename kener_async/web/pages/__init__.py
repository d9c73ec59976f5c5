"""The framework of the pages: decorator, cache, snapshot, throttle, templates, labels, assets."""
