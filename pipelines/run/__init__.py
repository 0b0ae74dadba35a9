"""What runs a plan: shard by shard in this process, or on Ray; and the records of its runs."""
