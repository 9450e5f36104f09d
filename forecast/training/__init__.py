"""What is trained: the plan, the loop, the members, and which of them are kept."""
