"""What actually runs containers, behind one interface (:mod:`engines.cre.runtimes.base`)."""
