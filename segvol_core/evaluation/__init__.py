"""How good masks are: prompts made from labels, scores beside trivial baselines, reports."""
