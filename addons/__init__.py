"""Everything in fediward that touches traffic: doors, activities, policy, judging, fetching, ledger."""
