"""Media references to judgements: fetch, caches, and one judgement for the same bytes in flight."""
