"""Tables as files: one module a format, each with a `FORMAT`; `registry` finds them."""
