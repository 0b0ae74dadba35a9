"""How the data flow. A folder is a step, a file is one way of doing it; `FLOW` is the order."""

FLOW = ("source", "fetch", "filter", "encode", "index", "lookup", "translate", "generate", "evaluate")
