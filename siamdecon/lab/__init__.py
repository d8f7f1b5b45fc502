"""What a learner touches: explorers, live training, questions, exercise checks, plots."""
