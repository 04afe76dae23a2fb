"""Speed, each figure beside the bare NATS pipeline of the same run; and the full counts (`python -m bench.prove`)."""
