"""Computing with sparse weights."""
