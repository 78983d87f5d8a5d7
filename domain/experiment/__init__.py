"""Live A/B tests over prompt versions: what one is, who sees which variant, and what the outcomes say."""
