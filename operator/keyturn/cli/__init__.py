"""The command line: what people and pipelines type, each question in a file of its own."""
