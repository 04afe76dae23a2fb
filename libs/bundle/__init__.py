"""What the operator hands to hosts: the signed list of its files (manifest), their paths (paths), why one is refused (refusal).

Pure: bytes and keys in, values out. Made by services.ops.bundle, fetched and verified by services.agent.
"""
