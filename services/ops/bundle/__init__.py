"""What hosts need of the operator's tree: which scripts (pruning), which files (contents), packed and signed (making)."""
