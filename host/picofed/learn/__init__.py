"""What is learnt and how: jobs, models, updates, aggregators, optimisers, the server, the simulator,
evaluation.
"""
