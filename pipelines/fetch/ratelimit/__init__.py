"""How often and how fast a host may be asked, for a whole cluster.

| file            | what it holds                                                               |
|-----------------|-----------------------------------------------------------------------------|
| limits          | which limit a host has: the file's, else the published one                  |
| windows         | what one limit still allows: connections and a sliding window of requests   |
| leases          | the lease table: permits that expire, holds on hosts, deltas for workers    |
| broker          | the lease table with the workers that wait for permits                      |
| governor        | the broker as the one actor of a cluster; the only Ray of `fetch/`          |
| circuit_breaker | hosts that a worker knows to be on hold or down                             |
| permits         | a worker's side: slots at hosts, leased in batches                          |
| semaphore       | a worker's requests in flight; returning ones go first                      |
| forecast        | how long the hosts of a plan take at the rates that they allow              |
"""
