"""The link between host and boards (SPEC 6): messages, streams, typed requests, transfers that resume."""
