"""What picofed costs on emulated boards that count cycles or instructions: the jobs, and the drive."""
