"""Runs a plan, shard by shard in this process or on Ray, and records its runs."""
