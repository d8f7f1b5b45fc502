"""What a learner touches: plots now; explorers and exercise checks come with the course's notebooks."""
