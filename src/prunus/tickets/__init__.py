"""Lottery tickets: what is found is judged against the dense network and against controls. Free of torch."""
