"""May the rollout begin? One answer out of a check, a bench and a preflight; docs/readiness.md."""
