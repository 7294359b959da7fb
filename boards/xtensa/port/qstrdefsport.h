// no qstrs of its own
